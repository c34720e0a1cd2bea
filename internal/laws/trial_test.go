package laws

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// tries are the kinds of credentials that can be tried.
var tries = map[string]struct {
	profile string
	kind    api.CredentialType
	renewal api.Renewal
}{
	"certificate":         {"common", api.CertificateType, api.Rotate},
	"renewed certificate": {"common", api.CertificateType, api.Renew},
	"PSK":                 {"type2", api.PSKType, api.Rotate},
}

// alwaysDue is a fleet whose credentials are due for renewal as soon as they are there.
func alwaysDue(kind api.CredentialType, renewal api.Renewal) api.Profile {
	return api.Profile{Type: kind, Renewal: renewal, Lifetime: api.Duration(time.Hour), RenewBefore: api.Duration(time.Hour - 1)}
}

// states are those of a SIM's credentials, older ones first.
func (w *world) states(iccid string) (all []api.CredentialState) {
	for _, c := range w.credentials(iccid) {
		all = append(all, c.State)
	}
	return all
}

// A credential that works stays in use, on the SIM and at the servers, until its successor has been
// tried and has worked, however often that takes; and then the successor takes its place.
func TestTheWorkingCredentialIsNotGivenUpBeforeTheNewOneHasWorked(t *testing.T) {
	for name, kind := range tries {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fleet("things", alwaysDue(kind.kind, kind.renewal))
			sim := vsim.NewMemory(w.sims("things", kind.profile, someICCID)[0])
			if _, err := w.onboard(sim); err != nil {
				t.Fatal(err)
			}
			first := w.active(someICCID)

			refused := errors.New("the server has not heard of it")
			for range 3 {
				_, err := w.onboard(sim, device.WithTrial(func(ctx context.Context, on *device.Device) error {
					if c, err := identityOf(ctx, on); err != nil || c == nameOf(first) {
						t.Errorf("on trial is %s, %v", c, err)
					}
					// Whoever uses the SIM meanwhile uses the credential before, which servers accept.
					if got := usable(t, w, sim, someICCID, 0); got.ID != first.ID {
						t.Errorf("during a trial the SIM uses %s, want %s", got.ID, first.ID)
					}
					return refused
				}))
				if !errors.Is(err, device.ErrTrial) || !errors.Is(err, refused) {
					t.Fatalf("%v", err)
				}
				if got := usable(t, w, sim, someICCID, 0); got.ID != first.ID || got.State != api.Active {
					t.Fatalf("after a trial that failed the SIM uses %s, which is %s; want %s", got.ID, got.State, first.ID)
				}
				if all := w.states(someICCID); len(all) != 2 || all[1] != api.Delivered {
					t.Fatalf("the credentials are %v: want no more than the one under way", all)
				}
			}

			tried := ""
			if _, err := w.onboard(sim, device.WithTrial(func(ctx context.Context, on *device.Device) (err error) {
				tried, err = identityOf(ctx, on)
				return err
			})); err != nil {
				t.Fatal(err)
			}
			second := w.active(someICCID)
			if second.ID == first.ID || nameOf(second) != tried {
				t.Errorf("active is %s, tried was %s", nameOf(second), tried)
			}
			if got := usable(t, w, sim, someICCID, 0); got.ID != second.ID {
				t.Errorf("the SIM uses %s, want %s", got.ID, second.ID)
			}
		})
	}
}

// An agent that can try nothing takes over where one that can has left off.
func TestATrialThatNobodyFinishesIsNoDeadEnd(t *testing.T) {
	for name, kind := range tries {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fleet("things", alwaysDue(kind.kind, kind.renewal))
			sim := vsim.NewMemory(w.sims("things", kind.profile, someICCID)[0])
			if _, err := w.onboard(sim); err != nil {
				t.Fatal(err)
			}
			first := w.active(someICCID)
			if _, err := w.onboard(sim, device.WithTrial(func(context.Context, *device.Device) error { return errCut })); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			if _, err := w.onboard(sim); err != nil {
				t.Fatal(err)
			}
			second := w.active(someICCID)
			if got := usable(t, w, sim, someICCID, 0); second.ID == first.ID || got.ID != second.ID || len(w.states(someICCID)) != 2 {
				t.Errorf("the SIM uses %s, active is %s; the first was %s", got.ID, second.ID, first.ID)
			}
		})
	}
}

// An agent of an earlier release looks for what it tries on the SIM, and finds no renewal there: it is
// not asked to try one.
func TestAnAgentThatCannotTryARenewalRenewsWithoutATrial(t *testing.T) {
	w := newWorld(t)
	w.fleet("things", alwaysDue(api.CertificateType, api.Renew))
	sim := vsim.NewMemory(w.sims("things", "common", someICCID)[0])
	for range 2 {
		d, err := device.New(t.Context(), sim, device.WithTrial(func(context.Context, *device.Device) error { return errCut }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Onboard(t.Context(), earlier{w.Agent}); err != nil {
			t.Fatal(err)
		}
	}
	if active := w.active(someICCID); active.Slot != 0 || usable(t, w, sim, someICCID, 0).ID != active.ID {
		t.Error("the SIM does not use the renewed certificate")
	}
}

// earlier is a platform to which an agent says no more than one of an earlier release.
type earlier struct{ *api.Client }

func (e earlier) OpenRelay(ctx context.Context, request api.RelayOpen) (api.RelayStep, error) {
	request.TrialRenewal = false
	return e.Client.OpenRelay(ctx, request)
}

// Where there is nothing to lose, nothing is tried.
func TestAFirstCredentialIsUsedAtOnce(t *testing.T) {
	for name, kind := range tries {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fleet("things", api.Profile{Type: kind.kind})
			state := w.sims("things", kind.profile, someICCID)[0]
			never := device.WithTrial(func(context.Context, *device.Device) error { return errCut })
			for range 2 { // at first, and when the SIM has lost its store
				if _, err := w.onboard(vsim.NewMemory(state), never); err != nil {
					t.Fatal(err)
				}
				w.active(someICCID)
			}
		})
	}
}

// A report that does not answer a trial is refused, and the session goes on for one that does.
func TestATrialIsAnsweredByItsOutcome(t *testing.T) {
	w := newWorld(t)
	w.fleet("things", alwaysDue(api.CertificateType, api.Rotate))
	sim := vsim.NewMemory(w.sims("things", "common", someICCID)[0])
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	d, err := device.New(t.Context(), sim, device.WithTrial(func(context.Context, *device.Device) error { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Onboard(t.Context(), muddler{t, w.Agent}); err != nil {
		t.Fatal(err)
	}
	w.active(someICCID)
}

// muddler takes trials for commands, and commands for trials, before it reports what is so.
type muddler struct {
	t *testing.T
	*api.Client
}

func (m muddler) AnswerRelay(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error) {
	wrong := api.RelayAnswers{Step: a.Step, Responses: [][]byte{{0x90, 0}}, Worked: true}
	if _, err := m.Client.AnswerRelay(ctx, session, wrong); !api.HasCode(err, api.CodeBadRequest) {
		m.t.Errorf("want a refusal %s, got: %v", api.CodeBadRequest, err)
	}
	if a.Worked {
		if _, err := m.Client.AnswerRelay(ctx, session, api.RelayAnswers{Step: a.Step}); !api.HasCode(err, api.CodeBadRequest) {
			m.t.Errorf("silence on a trial: want a refusal %s, got: %v", api.CodeBadRequest, err)
		}
	}
	return m.Client.AnswerRelay(ctx, session, a)
}

// identityOf is what a device shows its servers: its certificate's serial, or its PSK's identity.
func identityOf(ctx context.Context, d *device.Device) (string, error) {
	if key, err := d.PSK(ctx); err == nil {
		return key.Identity(), nil
	}
	c, err := d.Certificate(ctx)
	if err != nil {
		return "", err
	}
	return c.Leaf.SerialNumber.Text(16), nil
}

// nameOf is [identityOf], as the platform knows it.
func nameOf(c api.Credential) string { return c.Identity + c.Serial }
