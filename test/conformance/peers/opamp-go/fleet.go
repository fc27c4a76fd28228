package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server/types"
)

const serverCapabilities = uint64(protobufs.ServerCapabilities_ServerCapabilities_AcceptsStatus |
	protobufs.ServerCapabilities_ServerCapabilities_OffersRemoteConfig |
	protobufs.ServerCapabilities_ServerCapabilities_AcceptsEffectiveConfig)

var (
	errUnknownAgent = errors.New("no such agent")
	errCannot       = errors.New("the agent cannot take this")
	errAway         = errors.New("the agent has no connection to push to")
)

// agent is what is known about one instance_uid.
type agent struct {
	uid          []byte
	conn         types.Connection // nil while polling or away
	isConnected  bool
	sequence     uint64
	lastMessage  []byte
	capabilities uint64
	description  *protobufs.AgentDescription
	health       *protobufs.ComponentHealth
	effective    *protobufs.EffectiveConfig
	configStatus *protobufs.RemoteConfigStatus
	custom       []string
	wanted       *protobufs.AgentRemoteConfig
	offered      []byte   // hash of the last offer, for agents that never report one
	failed       [][]byte // hashes that this agent has reported as FAILED
	pending      []*protobufs.ServerToAgent
}

// fleet is all agents. One lock for everything: this server serves tests.
type fleet struct {
	mutex      sync.Mutex
	agents     map[string]*agent
	renamed    map[string][]byte // temporary uid to the uid given for it
	components map[string]bool   // known hashes
}

func newFleet() *fleet {
	return &fleet{agents: map[string]*agent{}, renamed: map[string][]byte{}, components: map[string]bool{}}
}

// handle stores a report and makes its answer. conn is nil for a polling agent.
func (f *fleet) handle(conn types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
	uid := message.InstanceUid
	if len(uid) != 16 {
		return badRequest(uid, "instance_uid must have 16 bytes")
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	reply := &protobufs.ServerToAgent{InstanceUid: uid, Capabilities: serverCapabilities}
	known, isKnown := f.agents[string(uid)]
	if !isKnown {
		known = &agent{uid: uid}
		f.agents[string(uid)] = known
	} else if known.conn != nil && conn != nil && known.conn != conn && f.isOther(known, message) {
		reply.AgentIdentification = &protobufs.AgentIdentification{NewInstanceUid: newUid()}
		return reply
	}
	encoded, _ := proto.Marshal(message)
	isRepeat := isKnown && bytes.Equal(encoded, known.lastMessage)
	isGap := !isKnown || message.SequenceNum != known.sequence+1
	if isGap && !isRepeat && !isComplete(message) {
		reply.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState)
	}
	if isRepeat {
		// The first answer was lost, and the offer in it too.
		known.offered = nil
	}
	known.sequence, known.lastMessage = message.SequenceNum, encoded
	known.store(message)
	known.conn, known.isConnected = conn, true
	if message.AgentDisconnect != nil {
		known.conn, known.isConnected = nil, false
	}
	if message.Flags&uint64(protobufs.AgentToServerFlags_AgentToServerFlags_RequestInstanceUid) != 0 {
		reply.Flags = 0
		reply.AgentIdentification = &protobufs.AgentIdentification{NewInstanceUid: f.rename(known)}
		return reply
	}
	if f.wantsComponents(known, message.AvailableComponents) {
		reply.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportAvailableComponents)
	}
	if known.isConnected {
		if len(known.pending) > 0 {
			next := known.pending[0]
			known.pending = known.pending[1:]
			return next
		}
		reply.RemoteConfig = known.offer()
	}
	return reply
}

// isOther says whether a message on a second connection shows another machine than the one known.
func (f *fleet) isOther(known *agent, message *protobufs.AgentToServer) bool {
	return message.AgentDescription != nil && known.description != nil &&
		attribute(message.AgentDescription, "host.name") != attribute(known.description, "host.name")
}

func (f *fleet) rename(known *agent) []byte {
	if given, isGiven := f.renamed[string(known.uid)]; isGiven {
		return given
	}
	given := newUid()
	f.renamed[string(known.uid)] = given
	copied := *known
	copied.uid = given
	copied.isConnected = false
	f.agents[string(given)] = &copied
	known.conn, known.isConnected = nil, false
	return given
}

func (f *fleet) wantsComponents(known *agent, reported *protobufs.AvailableComponents) bool {
	can := uint64(protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents)
	if reported == nil || known.capabilities&can == 0 {
		return false
	}
	if len(reported.Components) > 0 {
		f.components[string(reported.Hash)] = true
	}
	return !f.components[string(reported.Hash)]
}

// forget ends the link between a closed connection and its agents.
func (f *fleet) forget(conn types.Connection) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, known := range f.agents {
		if known.conn == conn {
			known.conn, known.isConnected = nil, false
		}
	}
}

// change runs an edit of one agent and pushes what follows from it.
func (f *fleet) change(uid []byte, edit func(*agent) error) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	known, isKnown := f.agents[string(uid)]
	if !isKnown {
		return errUnknownAgent
	}
	if err := edit(known); err != nil {
		return err
	}
	if known.conn == nil {
		return nil
	}
	pushes := known.pending
	known.pending = nil
	if offer := known.offer(); offer != nil {
		pushes = append(pushes, &protobufs.ServerToAgent{InstanceUid: uid, RemoteConfig: offer})
	}
	for _, push := range pushes {
		if err := known.conn.Send(context.Background(), push); err != nil {
			return err
		}
	}
	return nil
}

// store keeps the parts that the message carries; parts that are not there stay as they were.
func (a *agent) store(message *protobufs.AgentToServer) {
	if message.Capabilities != 0 {
		a.capabilities = message.Capabilities
	}
	if message.AgentDescription != nil {
		a.description = message.AgentDescription
	}
	if message.Health != nil {
		a.health = message.Health
	}
	if message.EffectiveConfig != nil {
		a.effective = message.EffectiveConfig
	}
	if message.CustomCapabilities != nil {
		a.custom = message.CustomCapabilities.Capabilities
	}
	if status := message.RemoteConfigStatus; status != nil {
		isUnseen := a.configStatus != nil && !bytes.Equal(a.configStatus.LastRemoteConfigHash, status.LastRemoteConfigHash)
		if isUnseen && a.offered != nil && !bytes.Equal(a.offered, status.LastRemoteConfigHash) {
			a.offered = nil
		}
		a.configStatus = status
		if status.Status == protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED {
			a.failed = append(a.failed, status.LastRemoteConfigHash)
		}
	}
}

// offer is the wanted config, if it has to be sent now; it counts as sent from then on.
func (a *agent) offer() *protobufs.AgentRemoteConfig {
	accepts := uint64(protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig)
	if a.wanted == nil || a.capabilities&accepts == 0 {
		return nil
	}
	hash := a.wanted.ConfigHash
	if bytes.Equal(hash, a.offered) || a.configStatus != nil && bytes.Equal(hash, a.configStatus.LastRemoteConfigHash) {
		return nil
	}
	if slices.ContainsFunc(a.failed, func(failed []byte) bool { return bytes.Equal(failed, hash) }) {
		return nil
	}
	a.offered = hash
	return a.wanted
}

// isComplete says whether a message brings every part that its capabilities promise.
func isComplete(message *protobufs.AgentToServer) bool {
	promises := func(bit protobufs.AgentCapabilities) bool { return message.Capabilities&uint64(bit) != 0 }
	return message.AgentDescription != nil &&
		(message.Health != nil || !promises(protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth)) &&
		(message.EffectiveConfig != nil || !promises(protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig)) &&
		(message.RemoteConfigStatus != nil || !promises(protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig))
}

func attribute(description *protobufs.AgentDescription, key string) string {
	for _, list := range [][]*protobufs.KeyValue{description.IdentifyingAttributes, description.NonIdentifyingAttributes} {
		for _, entry := range list {
			if entry.Key == key {
				return entry.Value.GetStringValue()
			}
		}
	}
	return ""
}

func newUid() []byte {
	uid := uuid.Must(uuid.NewV7())
	return uid[:]
}

// hashFiles is the same for the same names, content types and bodies, whatever their order.
func hashFiles(files map[string]*protobufs.AgentConfigFile) []byte {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	hash := sha256.New()
	for _, name := range names {
		for _, part := range [][]byte{[]byte(name), []byte(files[name].ContentType), files[name].Body} {
			_ = binary.Write(hash, binary.BigEndian, uint64(len(part)))
			hash.Write(part)
		}
	}
	return hash.Sum(nil)
}
