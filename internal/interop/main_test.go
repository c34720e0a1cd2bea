//go:build interop && linux

package interop

import (
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

func TestMain(m *testing.M) { realparts.Main(m, "./cmd/simroot") }
