package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/rig"
)

func (s *stage) switchOn(ctx context.Context) error {
	s.t.part("The devices are switched on for the first time")
	for _, m := range s.sims {
		var err error
		if m.device, err = device.Open(ctx, "vsim:"+m.file); err != nil {
			return err
		}
		s.atEnd(m.device.Close)
		if err := s.t.step("SIM of "+m.name+" gets its first credential", func() (string, error) {
			done, err := m.device.Onboard(ctx, s.rig.Agent) // the SIM proves itself: no token
			if err != nil {
				return "", err
			}
			m.credential = done.Credential
			if m.credential.Type == api.CertificateType {
				if err := rig.Await(ctx, s.middleware, m.credential); err != nil {
					return "", err
				}
			}
			if !done.Changed || m.credential.State != api.Active {
				return "", fmt.Errorf("the credential is %s, want a new and active one", m.credential.State)
			}
			what := "key pair made in the SIM, certificate " + m.credential.Serial
			if m.credential.Type == api.PSKType {
				what = "pre-shared key " + m.credential.Identity
			}
			return fmt.Sprintf("%s; %d sealed APDUs, %d bytes", what, done.Commands, done.Bytes), nil
		}); err != nil {
			return err
		}
	}
	if err := s.t.step("a second switch-on changes nothing", func() (string, error) {
		again, err := s.sims[0].device.Onboard(ctx, s.rig.Agent)
		if err == nil && (again.Changed || again.Credential.ID != s.sims[0].credential.ID) {
			err = errors.New("the SIM was given another credential")
		}
		return "", err
	}); err != nil {
		return err
	}
	return s.t.step("SIM and application server hold the same pre-shared key", func() (string, error) {
		return "proved by the SIM, checked by the middleware; the key itself never shows",
			s.middleware.ConfirmSecret(ctx, s.sims[2].credential.ID)
	})
}

func (s *stage) talk(ctx context.Context) error {
	s.t.part("The meters talk to the broker; the keys stay in their SIMs")
	for _, m := range s.meters() {
		if err := s.t.step(m.name+" opens MQTT over mutual TLS", func() (string, error) {
			var err error
			if m.session, err = connect(ctx, m.device, s.address); err != nil {
				return "", err
			}
			s.atEnd(func() error { m.session.close(); return nil })
			return tls.VersionName(m.session.state.Version), nil
		}); err != nil {
			return err
		}
		if err := s.t.step(m.name+" publishes, and the broker knows its SIM", func() (string, error) {
			return s.publish(m, "23.4 kWh")
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) meters() []*sim { return s.sims[:2] }

// publish has a SIM publish a text and checks that it arrived under the SIM's identity.
func (s *stage) publish(m *sim, text string) (string, error) {
	if err := m.session.publish(m.iccid, text); err != nil {
		return "", err
	}
	select {
	case got := <-s.broker.received:
		if got.sim != m.iccid || got.text != text {
			return "", fmt.Errorf("the broker received %q from SIM %s", got.text, got.sim)
		}
		return fmt.Sprintf("%s: %s", got.topic, got.text), nil
	case <-time.After(patience):
		return "", fmt.Errorf("nothing arrived within %s", patience)
	}
}

func (s *stage) revoke(ctx context.Context) error {
	lost, other := s.sims[0], s.sims[1]
	s.t.part("Meter 1 is stolen: the operator revokes its SIM")
	var revoked time.Time
	if err := s.t.step("revoke SIM "+lost.iccid, func() (string, error) {
		credentials, err := s.rig.Admin.RevokeSIM(ctx, lost.iccid, api.Change{Reason: api.ReasonPrivilegeWithdrawn, Note: "stolen"})
		revoked = time.Now()
		if err == nil && (len(credentials) != 1 || credentials[0].State != api.Revoked) {
			err = errors.New("its credential is not revoked")
		}
		return "", err
	}); err != nil {
		return err
	}
	if err := s.t.step("its live connection is cut", func() (string, error) {
		select {
		case <-lost.session.lost:
			return fmt.Sprintf("%.1f ms after the answer to the operator", float64(time.Since(revoked).Microseconds())/1000), nil
		case <-time.After(patience):
			return "", fmt.Errorf("it is still open after %s", patience)
		}
	}); err != nil {
		return err
	}
	if err := s.t.step("it cannot come back", func() (string, error) {
		if again, err := connect(ctx, lost.device, s.address); err == nil {
			again.close()
			return "", errors.New("the broker let it in")
		}
		return "", nil
	}); err != nil {
		return err
	}
	if err := s.t.step("nor get a new credential", func() (string, error) {
		if _, err := lost.device.Onboard(ctx, s.rig.Agent); !api.HasCode(err, api.CodeReenrolment) {
			return "", fmt.Errorf("want a refusal, got %v", err)
		}
		return "", nil
	}); err != nil {
		return err
	}
	return s.t.step("meter 2 goes on, on the same connection", func() (string, error) {
		return s.publish(other, "23.5 kWh")
	})
}
