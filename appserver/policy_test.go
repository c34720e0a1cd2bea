package appserver

import (
	"crypto/tls"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

var errClosingTime = errors.New("closed at night")

func TestAPolicyDeniesByFleetAndSIMWhatThePlatformAccepts(t *testing.T) {
	p := platformtest.New(t)
	sim, denied := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	m := open(t, p, Options{Policy: func(id Identity) error {
		if id.Fleet == "meters" && id.ICCID == denied.ICCID {
			return errClosingTime
		}
		return nil
	}})
	server := serverConfig(t, m, p)
	eachVersion(t, func(t *testing.T, version uint16) {
		if _, _, err := connect(t, m, server, clientConfig(p, sim.Certificate, version)); err != nil {
			t.Error(err)
		}
		_, _, err := connect(t, m, server, clientConfig(p, denied.Certificate, version))
		if !errors.Is(err, ErrDenied) || !errors.Is(err, errClosingTime) {
			t.Errorf("got %v, want the policy's denial", err)
		}
	})
}

func TestAPolicyIsAskedAgainForLiveConnections(t *testing.T) {
	for name, again := range map[string]func(p *platformtest.Platform, m *Middleware, sim platformtest.SIM){
		"when the SIM changes": func(p *platformtest.Platform, _ *Middleware, sim platformtest.SIM) {
			p.SetSIM(sim.ICCID, api.Provisioned)
		},
		"when the application says so": func(_ *platformtest.Platform, m *Middleware, _ platformtest.SIM) { m.Reconsider() },
	} {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			sim := p.Provision(t, platformtest.ICCID(1))
			var night atomic.Bool
			m := open(t, p, Options{Policy: func(Identity) error {
				if night.Load() {
					return errClosingTime
				}
				return nil
			}})
			conn, device, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13))
			if err != nil {
				t.Fatal(err)
			}
			m.Reconsider()
			if conn.Cause() != nil {
				t.Fatalf("was cut off by day: %v", conn.Cause())
			}
			night.Store(true)
			again(p, m, sim)
			device.SetReadDeadline(time.Now().Add(patience))
			if _, err := device.Read(make([]byte, 1)); err == nil {
				t.Error("the device heard something by night")
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, ErrDenied) || !errors.Is(err, errClosingTime) {
				t.Errorf("got %v, want the policy's denial", err)
			}
		})
	}
}
