package main

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
)

// parseUID reads a UUID in its text form.
func parseUID(text string) (types.InstanceUid, error) {
	var uid types.InstanceUid
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != len(uid) {
		return uid, fmt.Errorf("instanceUid %q is not a UUID", text)
	}
	copy(uid[:], raw)
	return uid, nil
}

func attributes(values map[string]string) []*protobufs.KeyValue {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	list := make([]*protobufs.KeyValue, 0, len(keys))
	for _, key := range keys {
		list = append(list, &protobufs.KeyValue{
			Key:   key,
			Value: &protobufs.AnyValue{Value: &protobufs.AnyValue_StringValue{StringValue: values[key]}},
		})
	}
	return list
}

// availableComponents builds a component list from "kind/type" -> "module version", the shape that collectors report.
func availableComponents(hash string, components map[string]string) (*protobufs.AvailableComponents, error) {
	raw, err := hex.DecodeString(hash)
	if err != nil {
		return nil, err
	}
	kinds := map[string]*protobufs.ComponentDetails{}
	for path, namespace := range components {
		kind, name, found := strings.Cut(path, "/")
		if !found {
			return nil, fmt.Errorf("component %q is not kind/type", path)
		}
		if kinds[kind] == nil {
			kinds[kind] = &protobufs.ComponentDetails{SubComponentMap: map[string]*protobufs.ComponentDetails{}}
		}
		kinds[kind].SubComponentMap[name] = &protobufs.ComponentDetails{
			Metadata: attributes(map[string]string{"code.namespace": namespace}),
		}
	}
	return &protobufs.AvailableComponents{Components: kinds, Hash: raw}, nil
}

func describeConfig(offer *protobufs.AgentRemoteConfig) map[string]any {
	files := map[string]any{}
	for name, file := range offer.GetConfig().GetConfigMap() {
		files[name] = map[string]any{"body": string(file.GetBody()), "contentType": file.GetContentType()}
	}
	return map[string]any{"hash": hex.EncodeToString(offer.GetConfigHash()), "files": files}
}
