package laws

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/issuer"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/relay"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

const aDay = 24 * time.Hour

// sleeper is a SIM in a drawer, with a platform whose clock the test moves.
type sleeper struct {
	*fixture.World
	*relay.Relay
	t     *testing.T
	state image.State // as it came from the factory
	sim   *vsim.Card
}

// newSleeper makes a SIM that has a credential for ten days, and then thirty to come back.
func newSleeper(t *testing.T) *sleeper {
	t.Helper()
	s := &sleeper{World: fixture.New(t), t: t}
	s.Relay = relay.New(relay.Options{
		Registry: s.Registry, Life: s.Life, Anchors: s.CA.OnSIM, Campaigns: s.Campaigns, Clock: s.Now,
	})
	t.Cleanup(s.Close)
	s.fleet("drawer", false)
	var err error
	if s.state, err = vsim.Profile("common", someICCID); err != nil {
		t.Fatal(err)
	}
	s.sim = vsim.NewMemory(s.state)
	var file bytes.Buffer
	batch, err := api.NewBatchWriter(&file, s.Registry.TransportKey())
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(batch.Add(issuer.BatchEntry(s.state)), batch.Close())
	if _, imported := s.Registry.Import(t.Context(), "test", "drawer", &file); err != nil || imported != nil {
		t.Fatal(err, imported)
	}
	if err := s.comes(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sleeper) fleet(name string, reenrolment bool) {
	s.t.Helper()
	p := api.Profile{Lifetime: api.Duration(10 * aDay), Grace: api.Duration(30 * aDay), AllowReenrolment: reenrolment}
	if _, err := s.Registry.CreateFleet(s.t.Context(), "test", api.Fleet{Name: name, Profile: p}); err != nil {
		s.t.Fatal(err)
	}
}

// OpenRelay and AnswerRelay are the platform's.

func (s *sleeper) OpenRelay(ctx context.Context, request api.RelayOpen) (api.RelayStep, error) {
	return s.Open(ctx, request)
}

func (s *sleeper) AnswerRelay(ctx context.Context, session string, answers api.RelayAnswers) (api.RelayStep, error) {
	return s.Answer(ctx, session, answers)
}

// comes switches the SIM's device on, once.
func (s *sleeper) comes() error {
	s.Pass(time.Second) // identifiers sort by time
	d, err := device.New(s.t.Context(), s.sim)
	if err != nil {
		return err
	}
	defer d.Applet().Close(context.WithoutCancel(s.t.Context())) // a SIM has few channels
	_, err = d.Onboard(s.t.Context(), s)
	return err
}

// want checks the states of the SIM's credentials, and that the SIM has the last of them if that is
// good.
func (s *sleeper) want(states ...api.CredentialState) {
	s.t.Helper()
	page, err := s.Life.Credentials(s.t.Context(), credential.Filter{ICCID: someICCID}, "", 0)
	if err != nil {
		s.t.Fatal(err)
	}
	var got []api.CredentialState
	for _, c := range page.Items {
		got = append(got, c.State)
	}
	if !slices.Equal(got, states) {
		s.t.Errorf("the credentials are %v, want %v", got, states)
		return
	}
	if last := page.Items[len(got)-1]; s.Now().Before(last.NotAfter) {
		d, err := device.New(s.t.Context(), s.sim)
		if err != nil {
			s.t.Fatal(err)
		}
		defer d.Applet().Close(context.WithoutCancel(s.t.Context()))
		if c, err := d.Credential(s.t.Context()); err != nil || !bytes.Equal(c.Certificate.Raw, last.Certificate) {
			s.t.Errorf("the SIM does not use its active certificate: %v", err)
		}
	}
}

// A SIM that has slept past the end of its certificate proves with its key who it is, and goes on.
func TestASIMThatSleptWithinTheGraceGoesOnByItself(t *testing.T) {
	s := newSleeper(t)
	for _, slept := range []time.Duration{11 * aDay, 39 * aDay} {
		s.Pass(slept)
		if err := s.comes(); err != nil {
			t.Fatalf("after %s: %v", slept, err)
		}
	}
	s.want(api.Expired, api.Expired, api.Active)
}

// One that says that it is that SIM, and has not got the key, is not.
func TestASIMThatLostItsKeyIsNotLetInByTheGrace(t *testing.T) {
	s := newSleeper(t)
	s.Pass(20 * aDay)
	s.sim = vsim.NewMemory(s.state)
	if err := s.comes(); !api.HasCode(err, api.CodeLineage) {
		t.Errorf("got %v, want a refusal %s", err, api.CodeLineage)
	}
	s.want(api.Active) // whose end nobody has noted yet
}

// Beyond the grace it is told why it is refused and what can be done; nothing is begun for it, however often
// it comes. Then an operator lets it in: its whole fleet, or this SIM alone.
func TestASIMThatSleptBeyondTheGraceWaitsForTheOperatorsWord(t *testing.T) {
	for name, word := range map[string]func(s *sleeper) error{
		"for the fleet": func(s *sleeper) error {
			f, err := s.Registry.Fleet(t.Context(), "drawer")
			if err != nil {
				return err
			}
			f.Profile.AllowReenrolment = true
			_, err = s.Registry.UpdateFleet(t.Context(), "test", f.Name, f)
			return err
		},
		"for the SIM": func(s *sleeper) error {
			s.fleet("returned", true)
			_, err := s.Registry.Move(t.Context(), "test", someICCID, api.Move{Fleet: "returned"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSleeper(t)
			s.Pass(41 * aDay)
			for range 2 {
				err := s.comes()
				if !api.HasCode(err, api.CodeReenrolment) {
					t.Fatalf("got %v, want a refusal %s", err, api.CodeReenrolment)
				}
				for _, said := range []string{someICCID, "ended at", "longer ago than the 720h0m0s", "fleet drawer", "allow its re-enrolment, or replace the SIM"} {
					if !strings.Contains(err.Error(), said) {
						t.Errorf("%q does not say %q", err, said)
					}
				}
			}
			s.want(api.Active) // whose end nobody has noted yet
			if err := word(s); err != nil {
				t.Fatal(err)
			}
			if err := s.comes(); err != nil {
				t.Fatal(err)
			}
			s.want(api.Expired, api.Active)
		})
	}
}
