//go:build !before_v023

package main

import "github.com/open-telemetry/opamp-go/protobufs"

// configFile is one entry of a config map; opamp-go v0.24 renamed it.
type configFile = protobufs.AgentConfigObject
