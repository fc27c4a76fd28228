package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"
)

// eventWriter prints one JSON object per event; every event carries its name and the milliseconds since start.
type eventWriter struct {
	mu    sync.Mutex
	enc   *json.Encoder
	start time.Time
}

func newEventWriter(w io.Writer) *eventWriter {
	return &eventWriter{enc: json.NewEncoder(w), start: time.Now()}
}

func (w *eventWriter) emit(name string, fields map[string]any) {
	line := map[string]any{"event": name, "atMs": time.Since(w.start).Milliseconds()}
	for k, v := range fields {
		line[k] = v
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Standard output gone means that the test is gone; there is nobody left to tell.
	_ = w.enc.Encode(line)
}

// Debugf drops the library's debug lines.
func (w *eventWriter) Debugf(context.Context, string, ...any) {}

// Errorf turns the library's error lines into events.
func (w *eventWriter) Errorf(_ context.Context, format string, v ...any) {
	w.emit("library_error", map[string]any{"text": fmt.Sprintf(format, v...)})
}

// libraryVersion is the version of opamp-go that this binary was linked with.
func libraryVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/open-telemetry/opamp-go" {
			return dep.Version
		}
	}
	return "unknown"
}
