// A small OpAMP server on the opamp-go library, as a second opinion for the conformance suite.
//
// It keeps everything in memory: agents with their last reports, and one wanted config per agent. OpAMP is served at
// /v1/opamp over both transports, and a management API for the suite at /admin. Not meant for anything but tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	compress := flag.Bool("compress", false, "accept permessage-deflate")
	flag.Parse()
	if err := run(*listen, *compress); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen string, compress bool) error {
	fleet := newFleet()
	opamp := server.New(nil)
	handler, connContext, err := opamp.Attach(server.Settings{
		EnableCompression: compress,
		Callbacks: types.Callbacks{
			OnConnecting: func(request *http.Request) types.ConnectionResponse {
				isPolling := request.Header.Get("Content-Type") == "application/x-protobuf"
				return types.ConnectionResponse{Accept: true, ConnectionCallbacks: callbacks(fleet, isPolling)}
			},
		},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/opamp", handler)
	registerAdmin(mux, fleet)
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	httpServer := &http.Server{Handler: mux, ConnContext: connContext}
	// The first line on standard output says where it listens.
	fmt.Printf("listening on %s\n", listener.Addr())
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-stopped.Done()
		httpServer.Close()
	}()
	if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// callbacks ties one connection to the fleet. A polling connection lasts for one request and cannot be pushed to.
func callbacks(fleet *fleet, isPolling bool) types.ConnectionCallbacks {
	return types.ConnectionCallbacks{
		OnMessage: func(_ context.Context, conn types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
			if isPolling {
				conn = nil
			}
			return fleet.handle(conn, message)
		},
		OnReadMessageError: func(conn types.Connection, messageType int, _ []byte, err error) {
			// Negative when the connection itself broke: nobody is there to be told.
			if !isPolling && messageType >= 0 {
				_ = conn.Send(context.Background(), badRequest(nil, err.Error()))
			}
		},
		OnConnectionClose: func(conn types.Connection) {
			if !isPolling {
				fleet.forget(conn)
			}
		},
	}
}

func badRequest(uid []byte, text string) *protobufs.ServerToAgent {
	return &protobufs.ServerToAgent{
		InstanceUid: uid,
		ErrorResponse: &protobufs.ServerErrorResponse{
			Type:         protobufs.ServerErrorResponseType_ServerErrorResponseType_BadRequest,
			ErrorMessage: text,
		},
	}
}
