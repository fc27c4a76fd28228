package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
)

// stopTimeout is more than the 5 s for which the library waits for the server's Close frame.
const stopTimeout = 20 * time.Second

// errorMessage goes with a FAILED that was asked for by onConfig.
const errorMessage = "refused on request of the test"

// agent is one opamp-go client with what it would report.
type agent struct {
	out *eventWriter

	client client.OpAMPClient

	mu        sync.Mutex
	onConfig  string
	effective string
}

func newAgent(out *eventWriter) *agent {
	return &agent{out: out, onConfig: "applied"}
}

// start connects; ws and wss choose the WebSocket transport, http and https the other.
func (a *agent) start(cmd *command) error {
	if a.client != nil {
		return errors.New("already started")
	}
	target, err := url.Parse(cmd.URL)
	if err != nil {
		return err
	}
	uid, err := parseUID(cmd.InstanceUID)
	if err != nil {
		return err
	}
	if cmd.OnConfig != "" {
		if err := a.setOnConfig(cmd.OnConfig); err != nil {
			return err
		}
	}
	a.effective = cmd.EffectiveConfig

	switch target.Scheme {
	case "ws", "wss":
		a.client = client.NewWebSocket(a.out)
	case "http", "https":
		a.client = client.NewHTTP(a.out)
	default:
		return fmt.Errorf("unknown scheme %q", target.Scheme)
	}
	if err := a.prepare(cmd); err != nil {
		return err
	}

	settings := types.StartSettings{
		OpAMPServerURL:    cmd.URL,
		Header:            http.Header{},
		InstanceUid:       uid,
		EnableCompression: cmd.Compression,
		Callbacks:         a.callbacks(),
	}
	for name, value := range cmd.Headers {
		settings.Header.Set(name, value)
	}
	if cmd.HeartbeatMs > 0 {
		interval := time.Duration(cmd.HeartbeatMs) * time.Millisecond
		settings.HeartbeatInterval = &interval
	}
	return a.client.Start(context.Background(), settings)
}

// prepare sets everything that belongs into the first message.
func (a *agent) prepare(cmd *command) error {
	if err := a.client.SetAgentDescription(&protobufs.AgentDescription{
		IdentifyingAttributes:    attributes(cmd.Identifying),
		NonIdentifyingAttributes: attributes(cmd.NonIdentifying),
	}); err != nil {
		return err
	}
	if err := a.client.SetHealth(&protobufs.ComponentHealth{Healthy: true, Status: "StatusOK"}); err != nil {
		return err
	}
	if cmd.ComponentsHash != "" {
		components, err := availableComponents(cmd.ComponentsHash, cmd.Components)
		if err != nil {
			return err
		}
		if err := a.client.SetAvailableComponents(components); err != nil {
			return err
		}
	}
	if len(cmd.CustomCapabilities) > 0 {
		if err := a.client.SetCustomCapabilities(&protobufs.CustomCapabilities{Capabilities: cmd.CustomCapabilities}); err != nil {
			return err
		}
	}
	mask := protobufs.AgentCapabilities(cmd.Capabilities)
	return a.client.SetCapabilities(&mask)
}

func (a *agent) callbacks() types.Callbacks {
	return types.Callbacks{
		OnConnect: func(context.Context) { a.out.emit("connected", nil) },
		OnConnectFailed: func(_ context.Context, err error) {
			a.out.emit("connect_failed", map[string]any{"error": err.Error()})
		},
		OnError: func(_ context.Context, response *protobufs.ServerErrorResponse) {
			a.out.emit("server_error", map[string]any{
				"type":         response.GetType().String(),
				"message":      response.GetErrorMessage(),
				"retryAfterNs": response.GetRetryInfo().GetRetryAfterNanoseconds(),
			})
		},
		OnMessage: a.onMessage,
		OnCommand: func(_ context.Context, cmd *protobufs.ServerToAgentCommand) error {
			a.out.emit("server_command", map[string]any{"type": cmd.GetType().String()})
			return nil
		},
		OnOpampConnectionSettings: func(_ context.Context, offer *protobufs.OpAMPConnectionSettings) error {
			a.out.emit("opamp_settings", map[string]any{
				"endpoint":         offer.GetDestinationEndpoint(),
				"heartbeatSeconds": offer.GetHeartbeatIntervalSeconds(),
			})
			return nil
		},
		// The library asks for the effective config in the first message and whenever the server wants the full state.
		GetEffectiveConfig: func(context.Context) (*protobufs.EffectiveConfig, error) {
			a.out.emit("effective_config_read", nil)
			return a.effectiveConfig(), nil
		},
	}
}

func (a *agent) onMessage(ctx context.Context, msg *types.MessageData) {
	fields := map[string]any{}
	if msg.RemoteConfig != nil {
		fields["remoteConfig"] = describeConfig(msg.RemoteConfig)
	}
	if msg.AgentIdentification != nil {
		fields["newInstanceUid"] = hex.EncodeToString(msg.AgentIdentification.GetNewInstanceUid())
	}
	if msg.CustomCapabilities != nil {
		fields["customCapabilities"] = msg.CustomCapabilities.GetCapabilities()
	}
	if msg.CustomMessage != nil {
		fields["customMessage"] = map[string]any{
			"capability": msg.CustomMessage.GetCapability(),
			"type":       msg.CustomMessage.GetType(),
			"dataBase64": base64.StdEncoding.EncodeToString(msg.CustomMessage.GetData()),
		}
	}
	if msg.PackagesAvailable != nil {
		fields["packagesAvailable"] = true
	}
	a.out.emit("message", fields)
	if msg.RemoteConfig != nil {
		a.answer(ctx, msg.RemoteConfig)
	}
}

// answer reports a received config the way the test asked for. Called by the library, one message at a time.
func (a *agent) answer(ctx context.Context, offer *protobufs.AgentRemoteConfig) {
	a.mu.Lock()
	mode := a.onConfig
	if mode == "applied" {
		a.effective = string(offer.GetConfig().GetConfigMap()[""].GetBody())
	}
	a.mu.Unlock()
	if mode == "silent" {
		return
	}
	message := ""
	if mode == "failed" {
		message = errorMessage
	}
	if err := a.setStatus(mode, hex.EncodeToString(offer.GetConfigHash()), message); err != nil {
		a.out.emit("status_failed", map[string]any{"error": err.Error()})
		return
	}
	if mode == "applied" {
		if err := a.client.UpdateEffectiveConfig(ctx); err != nil {
			a.out.emit("status_failed", map[string]any{"error": err.Error()})
		}
	}
}

func (a *agent) setOnConfig(mode string) error {
	switch mode {
	case "applied", "failed", "applying", "silent":
	default:
		return fmt.Errorf("unknown onConfig %q", mode)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onConfig = mode
	return nil
}

func (a *agent) setStatus(status, hash, message string) error {
	value, ok := protobufs.RemoteConfigStatuses_value["RemoteConfigStatuses_"+strings.ToUpper(status)]
	if !ok {
		return fmt.Errorf("unknown status %q", status)
	}
	raw, err := hex.DecodeString(hash)
	if err != nil {
		return err
	}
	err = a.client.SetRemoteConfigStatus(&protobufs.RemoteConfigStatus{
		LastRemoteConfigHash: raw,
		Status:               protobufs.RemoteConfigStatuses(value),
		ErrorMessage:         message,
	})
	if err == nil {
		a.out.emit("status_set", map[string]any{"status": strings.ToUpper(status), "hash": hash})
	}
	return err
}

func (a *agent) setHealth(healthy bool, lastError string) error {
	status := "StatusOK"
	if !healthy {
		status = "StatusPermanentError"
	}
	return a.client.SetHealth(&protobufs.ComponentHealth{Healthy: healthy, Status: status, LastError: lastError})
}

func (a *agent) setEffective(text string) error {
	a.mu.Lock()
	a.effective = text
	a.mu.Unlock()
	return a.client.UpdateEffectiveConfig(context.Background())
}

func (a *agent) effectiveConfig() *protobufs.EffectiveConfig {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{ConfigMap: map[string]*configFile{
		"": {Body: []byte(a.effective), ContentType: "text/yaml"},
	}}}
}

func (a *agent) sendCustom(capability, kind, dataBase64 string) error {
	data, err := base64.StdEncoding.DecodeString(dataBase64)
	if err != nil {
		return err
	}
	_, err = a.client.SendCustomMessage(&protobufs.CustomMessage{Capability: capability, Type: kind, Data: data})
	return err
}

func (a *agent) stop() error {
	if a.client == nil {
		return errors.New("not started")
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return a.client.Stop(ctx)
}
