package e2e

import (
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

func TestMain(m *testing.M) {
	realparts.Main(m, "./cmd/simroot", "github.com/nats-io/nats-server/v2",
		"internal/e2e/judges/globalsign github.com/globalsign/est/cmd/estclient")
}
