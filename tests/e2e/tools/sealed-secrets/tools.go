//go:build tools

// Package tools names the command that go.mod pins.
package tools

import _ "github.com/bitnami/sealed-secrets/cmd/controller"
