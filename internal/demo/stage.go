package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/issuer"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// stage is everything that the demonstration has set up.
type stage struct {
	t   *transcript
	dir string

	rig        *rig.Rig
	middleware *appserver.Middleware
	broker     *broker
	address    string // of the broker
	sims       []*sim

	closers []func() error
}

// sim is one SIM and the device it sits in.
type sim struct {
	name, iccid, fleet, file string
	device                   *device.Device
	credential               api.Credential
	session                  *publisher
}

// atEnd registers what to undo; the last one registered goes first.
func (s *stage) atEnd(undo func() error) { s.closers = append(s.closers, undo) }

func (s *stage) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	return errors.Join(errs...)
}

func (s *stage) raisePlatform(ctx context.Context) error {
	s.t.part("The operator starts the security services platform")
	if err := s.t.step("make CA, keys and database, and serve the API over TLS", func() (string, error) {
		r, err := rig.New(filepath.Join(s.dir, "platform"))
		if err != nil {
			return "", err
		}
		s.rig = r
		s.atEnd(r.Stop)
		return r.URL, nil
	}); err != nil {
		return err
	}
	return s.t.step("create two fleets: meters (certificates), tags (pre-shared keys)", func() (string, error) {
		return "", errors.Join(
			s.rig.Fleet(ctx, "meters", api.Profile{Type: api.CertificateType, Organization: "Example Utility"}),
			s.rig.Fleet(ctx, "tags", api.Profile{Type: api.PSKType}),
		)
	})
}

func (s *stage) makeSIMs(ctx context.Context) error {
	s.t.part("The SIM issuer makes three SIMs and delivers their keys, sealed")
	transport, err := s.rig.Admin.TransportKey(ctx)
	if err != nil {
		return err
	}
	for _, m := range []*sim{
		{name: "meter 1", iccid: "89882119900000000017", fleet: "meters"},
		{name: "meter 2", iccid: "89882119900000000025", fleet: "meters"},
		{name: "tag", iccid: "89882119900000000033", fleet: "tags"},
	} {
		m.file = filepath.Join(s.dir, m.iccid+".sim")
		profile, kind := "common", "Type I"
		if m.fleet == "tags" {
			profile, kind = "type2", "Type II"
		}
		if err := s.t.step(fmt.Sprintf("SIM %s, %s, for %s", m.iccid, kind, m.name), func() (string, error) {
			state, err := vsim.Profile(profile, m.iccid)
			if err != nil {
				return "", err
			}
			card, err := vsim.Create(m.file, state)
			if err != nil {
				return "", err
			}
			if err := card.Close(); err != nil {
				return "", err
			}
			return "", api.AppendBatch(s.batch(m.fleet), transport.Key, issuer.BatchEntry(state))
		}); err != nil {
			return err
		}
		s.sims = append(s.sims, m)
	}
	for _, fleet := range []string{"meters", "tags"} {
		if err := s.t.step("import the batch of fleet "+fleet, func() (string, error) {
			file, err := os.Open(s.batch(fleet))
			if err != nil {
				return "", err
			}
			defer file.Close()
			result, err := s.rig.Admin.Import(ctx, fleet, file)
			return fmt.Sprintf("%d SIMs", result.Imported), err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) batch(fleet string) string { return filepath.Join(s.dir, fleet+".batch") }

func (s *stage) raiseServer(ctx context.Context) error {
	s.t.part("The back-end team starts an MQTT broker behind the server middleware")
	if err := s.t.step("follow the platform's feed into a local replica", func() (string, error) {
		var err error
		if s.middleware, err = s.rig.Middleware(ctx, filepath.Join(s.dir, "replica")); err != nil {
			return "", err
		}
		s.atEnd(s.middleware.Close)
		return "", nil
	}); err != nil {
		return err
	}
	return s.t.step("listen, with a certificate from the platform", func() (string, error) {
		certificate, err := s.rig.ServerCertificate(ctx, "127.0.0.1")
		if err != nil {
			return "", err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		guarded := s.middleware.Listener(l, s.middleware.TLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}))
		if s.broker, err = startBroker(guarded); err != nil {
			return "", errors.Join(err, l.Close())
		}
		s.atEnd(s.broker.close)
		s.address = l.Addr().String()
		return "mqtts://" + s.address, nil
	})
}
