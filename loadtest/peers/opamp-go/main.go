// The least that an OpAMP server on the opamp-go library can be, to compare with: it accepts every agent, remembers the
// last message of each, pushes one config to all of them, and counts who reported it APPLIED. One process, no storage.
//
//	POST /push   the body is the new config; answers its hash in hex
//	GET  /stats  {"connected":N,"agents":N,"applied":N}
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
)

const ownCapabilities = uint64(protobufs.ServerCapabilities_ServerCapabilities_AcceptsStatus |
	protobufs.ServerCapabilities_ServerCapabilities_OffersRemoteConfig |
	protobufs.ServerCapabilities_ServerCapabilities_AcceptsEffectiveConfig)

// senders is how many pushes are written at a time.
const senders = 64

type entry struct {
	uid     []byte
	conn    types.Connection
	last    *protobufs.AgentToServer
	applied []byte
}

type fleet struct {
	mutex  sync.Mutex
	byUID  map[string]*entry
	byConn map[types.Connection]*entry
	wanted []byte
}

func (f *fleet) handle(conn types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	reply := &protobufs.ServerToAgent{InstanceUid: message.InstanceUid, Capabilities: ownCapabilities}
	known := f.byUID[string(message.InstanceUid)]
	if known == nil {
		known = &entry{uid: bytes.Clone(message.InstanceUid)}
		f.byUID[string(message.InstanceUid)] = known
		if message.AgentDescription == nil {
			reply.Flags = uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState)
		}
	}
	known.conn = conn
	f.byConn[conn] = known
	if message.AgentDescription != nil || known.last == nil {
		known.last = message
	}
	status := message.RemoteConfigStatus
	if status != nil && status.Status == protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED {
		known.applied = status.LastRemoteConfigHash
	}
	return reply
}

func (f *fleet) forget(conn types.Connection) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if known := f.byConn[conn]; known != nil && known.conn == conn {
		known.conn = nil
	}
	delete(f.byConn, conn)
}

func (f *fleet) push(body []byte) []byte {
	hash := sha256.Sum256(body)
	config := &protobufs.AgentRemoteConfig{
		Config: &protobufs.AgentConfigMap{ConfigMap: map[string]*protobufs.AgentConfigFile{
			"": {Body: body, ContentType: "text/yaml"},
		}},
		ConfigHash: hash[:],
	}
	f.mutex.Lock()
	f.wanted = hash[:]
	targets := make([]entry, 0, len(f.byConn))
	for _, known := range f.byConn {
		targets = append(targets, *known)
	}
	f.mutex.Unlock()
	queue := make(chan entry)
	var running sync.WaitGroup
	for range senders {
		running.Add(1)
		go func() {
			defer running.Done()
			for target := range queue {
				_ = target.conn.Send(context.Background(), &protobufs.ServerToAgent{
					InstanceUid: target.uid, Capabilities: ownCapabilities, RemoteConfig: config,
				})
			}
		}()
	}
	for _, target := range targets {
		if target.conn != nil {
			queue <- target
		}
	}
	close(queue)
	running.Wait()
	return hash[:]
}

func (f *fleet) stats() map[string]int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	applied := 0
	for _, known := range f.byUID {
		if len(f.wanted) > 0 && bytes.Equal(known.applied, f.wanted) {
			applied++
		}
	}
	return map[string]int{"connected": len(f.byConn), "agents": len(f.byUID), "applied": applied}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	if err := run(*listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen string) error {
	known := &fleet{byUID: map[string]*entry{}, byConn: map[types.Connection]*entry{}}
	handler, connContext, err := server.New(nil).Attach(server.Settings{
		Callbacks: types.Callbacks{
			OnConnecting: func(*http.Request) types.ConnectionResponse {
				return types.ConnectionResponse{Accept: true, ConnectionCallbacks: types.ConnectionCallbacks{
					OnMessage: func(_ context.Context, conn types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
						return known.handle(conn, message)
					},
					OnConnectionClose: known.forget,
				}}
			},
		},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/opamp", handler)
	mux.HandleFunc("POST /push", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, hex.EncodeToString(known.push(body)))
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(known.stats())
	})
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	httpServer := &http.Server{Handler: mux, ConnContext: connContext}
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-stopped.Done()
		httpServer.Close()
	}()
	fmt.Printf("listening on %s\n", listener.Addr())
	if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
