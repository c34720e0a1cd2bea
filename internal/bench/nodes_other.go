//go:build !linux

package main

import (
	"context"

	"github.com/simroot/simroot/internal/rig"
)

// nodesRate needs a PostgreSQL server of its own, which the tests' parts start on Linux.
func nodesRate(context.Context, *rig.Rig, string) ([]row, error) { return nil, nil }
