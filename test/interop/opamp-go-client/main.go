// Command opamp-go-client is an OpAMP agent on the opamp-go client library that a test steers line by line:
// JSON commands on standard input, JSON events on standard output. Closing standard input ends it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// maxCommandBytes bounds one command line; a config of a megabyte in base64 fits.
const maxCommandBytes = 8 << 20

// command is one line of standard input. Which fields count depends on Cmd; see handle.
type command struct {
	Cmd string `json:"cmd"`

	// start
	URL                string            `json:"url"`
	Headers            map[string]string `json:"headers"`
	InstanceUID        string            `json:"instanceUid"`
	Capabilities       uint64            `json:"capabilities"`
	Identifying        map[string]string `json:"identifying"`
	NonIdentifying     map[string]string `json:"nonIdentifying"`
	HeartbeatMs        int64             `json:"heartbeatMs"`
	Compression        bool              `json:"compression"`
	EffectiveConfig    string            `json:"effectiveConfig"`
	CustomCapabilities []string          `json:"customCapabilities"`
	ComponentsHash     string            `json:"componentsHash"`
	Components         map[string]string `json:"components"`

	// start and onConfig: applied, failed, applying or silent
	OnConfig string `json:"onConfig"`

	// health
	Healthy   bool   `json:"healthy"`
	LastError string `json:"lastError"`

	// status
	Status  string `json:"status"`
	Hash    string `json:"hash"`
	Message string `json:"message"`

	// custom
	Capability string `json:"capability"`
	Type       string `json:"type"`
	DataBase64 string `json:"dataBase64"`
}

func main() {
	out := newEventWriter(os.Stdout)
	agent := newAgent(out)
	out.emit("ready", map[string]any{"library": libraryVersion()})

	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 64<<10), maxCommandBytes)
	for in.Scan() {
		var cmd command
		if err := json.Unmarshal(in.Bytes(), &cmd); err != nil {
			out.emit("command_failed", map[string]any{"error": err.Error()})
			continue
		}
		if err := handle(agent, &cmd); err != nil {
			out.emit("command_failed", map[string]any{"cmd": cmd.Cmd, "error": err.Error()})
			continue
		}
		out.emit("command_done", map[string]any{"cmd": cmd.Cmd})
	}
}

func handle(agent *agent, cmd *command) error {
	switch cmd.Cmd {
	case "start":
		return agent.start(cmd)
	case "onConfig":
		return agent.setOnConfig(cmd.OnConfig)
	case "health":
		return agent.setHealth(cmd.Healthy, cmd.LastError)
	case "status":
		return agent.setStatus(cmd.Status, cmd.Hash, cmd.Message)
	case "effective":
		return agent.setEffective(cmd.EffectiveConfig)
	case "custom":
		return agent.sendCustom(cmd.Capability, cmd.Type, cmd.DataBase64)
	case "stop":
		return agent.stop()
	default:
		return fmt.Errorf("unknown command %q", cmd.Cmd)
	}
}
