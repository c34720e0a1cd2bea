package conformance_test

import (
	"encoding/json"
	"testing"

	"github.com/simroot/simroot/conformance"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/model"
)

// passes runs the kit and wants no failure.
func passes(t *testing.T, s *sim, o conformance.Options) conformance.Report {
	t.Helper()
	report, err := conformance.Run(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	wantNoFailure(t, report)
	return report
}

func wantNoFailure(t *testing.T, report conformance.Report) {
	t.Helper()
	for _, r := range report.Failures() {
		t.Errorf("%s %s: %s", r.ID, r.Title, r.Reason)
		for _, e := range r.Exchanges {
			t.Logf("  > %s\n  < %s", e.Command, e.Answer)
		}
	}
}

func marshal(t *testing.T, s applet.State) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheCorrectCardPassesEveryTest(t *testing.T) {
	report := passes(t, newSIM(t, newApplet(fullState(t))), fullOptions())
	for _, r := range report.Results {
		if r.Outcome == conformance.Skipped && r.ID != "3.3-type2" { // which is for others
			t.Errorf("%s was skipped: %s", r.ID, r.Reason)
		}
	}
}

// Whatever a SIM is delivered with, no statement fails on it; what its containers do not
// allow to try is skipped.
func TestEveryProfilePasses(t *testing.T) {
	for _, name := range vsim.Profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state, err := vsim.Profile(name, string(testICCID))
			if err != nil {
				t.Fatal(err)
			}
			for _, destructive := range []bool{false, true} {
				c := vsim.NewMemory(state)
				report, err := conformance.Run(t.Context(), c, conformance.Options{Destructive: destructive})
				if err != nil {
					t.Fatal(err)
				}
				wantNoFailure(t, report)
				t.Logf("destructive %v: %d passed, %d skipped", destructive, report.Count(conformance.Passed), report.Count(conformance.Skipped))
			}
		})
	}
}

// A SIM that behaves as a real card does what it says that it does.
func TestEveryModelPasses(t *testing.T) {
	for _, m := range model.Models {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			name := "wolfssl"
			if m.Capabilities != nil && m.Capabilities.Functions&iotsafe.Signing == 0 {
				name = "type2"
			}
			state, err := vsim.Profile(name, string(testICCID))
			if err != nil {
				t.Fatal(err)
			}
			c := vsim.NewMemory(state, vsim.WithModel(m.Name))
			report, err := conformance.Run(t.Context(), c, conformance.Options{Destructive: true})
			if err != nil {
				t.Fatal(err)
			}
			wantNoFailure(t, report)
		})
	}
}

// Without permission nothing on the card changes.
func TestNothingChangesWithoutPermission(t *testing.T) {
	a := newApplet(fullState(t))
	before := marshal(t, a.State())
	o := fullOptions()
	o.Destructive = false
	passes(t, newSIM(t, a), o)
	if marshal(t, a.State()) != before {
		t.Error("the kit has changed the store")
	}
}
