package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/open-telemetry/opamp-go/protobufs"
)

type file struct {
	Body        string `json:"body"`
	ContentType string `json:"contentType"`
}

// registerAdmin serves the management API: uids are hex with or without dashes, bodies are JSON.
func registerAdmin(mux *http.ServeMux, fleet *fleet) {
	mux.HandleFunc("GET /admin/agents/{uid}", func(w http.ResponseWriter, r *http.Request) {
		view, err := fleet.view(uidOf(r))
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(view)
	})
	mux.HandleFunc("PUT /admin/agents/{uid}/config", func(w http.ResponseWriter, r *http.Request) {
		var files map[string]file
		if err := json.NewDecoder(r.Body).Decode(&files); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		refuse(w, fleet.change(uidOf(r), func(known *agent) error {
			known.wanted = toRemoteConfig(files)
			return nil
		}))
	})
	mux.HandleFunc("POST /admin/agents/{uid}/restart", func(w http.ResponseWriter, r *http.Request) {
		uid := uidOf(r)
		refuse(w, fleet.change(uid, func(known *agent) error {
			can := uint64(protobufs.AgentCapabilities_AgentCapabilities_AcceptsRestartCommand)
			if known.capabilities&can == 0 {
				return errCannot
			}
			if !known.isConnected {
				return errAway
			}
			known.pending = append(known.pending, &protobufs.ServerToAgent{
				InstanceUid:  uid,
				Capabilities: serverCapabilities,
				Command:      &protobufs.ServerToAgentCommand{Type: protobufs.CommandType_CommandType_Restart},
			})
			return nil
		}))
	})
	mux.HandleFunc("POST /admin/agents/{uid}/messages", func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			Capability string `json:"capability"`
			Type       string `json:"type"`
			Data       []byte `json:"data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		uid := uidOf(r)
		refuse(w, fleet.change(uid, func(known *agent) error {
			if !slices.Contains(known.custom, message.Capability) {
				return errCannot
			}
			known.pending = append(known.pending, &protobufs.ServerToAgent{
				InstanceUid: uid,
				CustomMessage: &protobufs.CustomMessage{
					Capability: message.Capability, Type: message.Type, Data: message.Data,
				},
			})
			return nil
		}))
	})
}

func (f *fleet) view(uid []byte) (map[string]any, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	known, isKnown := f.agents[string(uid)]
	if !isKnown {
		return nil, errUnknownAgent
	}
	view := map[string]any{
		"isConnected":  known.isConnected,
		"capabilities": strconv.FormatUint(known.capabilities, 10),
	}
	if known.description != nil {
		attributes := map[string]string{}
		for _, list := range [][]*protobufs.KeyValue{
			known.description.IdentifyingAttributes, known.description.NonIdentifyingAttributes,
		} {
			for _, entry := range list {
				attributes[entry.Key] = entry.Value.GetStringValue()
			}
		}
		view["attributes"] = attributes
	}
	if known.health != nil {
		view["isHealthy"] = known.health.Healthy
		names := []string{}
		for name := range known.health.ComponentHealthMap {
			names = append(names, name)
		}
		slices.Sort(names)
		view["healthComponents"] = names
	}
	if status := known.configStatus; status != nil {
		view["configStatus"] = strings.TrimPrefix(status.Status.String(), "RemoteConfigStatuses_")
		view["configHash"] = hex.EncodeToString(status.LastRemoteConfigHash)
		view["configError"] = status.ErrorMessage
	}
	if known.effective != nil {
		bodies := map[string]string{}
		for name, content := range known.effective.GetConfigMap().GetConfigMap() {
			bodies[name] = string(content.Body)
		}
		view["effectiveConfig"] = bodies
	}
	return view, nil
}

func toRemoteConfig(files map[string]file) *protobufs.AgentRemoteConfig {
	contents := map[string]*protobufs.AgentConfigFile{}
	for name, content := range files {
		contents[name] = &protobufs.AgentConfigFile{Body: []byte(content.Body), ContentType: content.ContentType}
	}
	return &protobufs.AgentRemoteConfig{
		Config:     &protobufs.AgentConfigMap{ConfigMap: contents},
		ConfigHash: hashFiles(contents),
	}
}

func uidOf(r *http.Request) []byte {
	uid, _ := hex.DecodeString(strings.ReplaceAll(r.PathValue("uid"), "-", ""))
	return uid
}

// refuse answers with the status that fits an error, or with 204 when there is none.
func refuse(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, errUnknownAgent):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, errCannot), errors.Is(err, errAway):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
