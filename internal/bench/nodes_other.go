//go:build !linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/simroot/simroot/internal/rig"
)

// ownCPU is not measured here.
func ownCPU() (time.Duration, error) {
	return 0, errors.New("the processor time of the process is measured on Linux only")
}

// nodesRate and importPostgres need a PostgreSQL server of their own, which the tests' parts start on Linux.
func nodesRate(context.Context, *rig.Rig, string) ([]row, error)      { return nil, nil }
func importPostgres(context.Context, *rig.Rig, string) ([]row, error) { return nil, nil }
