package mosquitto_test

import (
	"testing"

	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
)

func TestThroughARolloverOfTheCANobodyGoodIsRefusedAndTheRevokedOfBothCAsAre(t *testing.T) {
	r := newRig(t)
	r.run(t)
	enter := func(sim platformtest.SIM) error {
		d, err := connect(r.byCertificate(sim))
		if err == nil {
			d.Disconnect(0)
		}
		return err
	}
	servertest.Rollover(t, r.Platform, servertest.Beside{
		Enter: enter, Refused: func(sim platformtest.SIM) bool { return enter(sim) != nil }, CRLs: r.in("crl.pem"),
	})
}
