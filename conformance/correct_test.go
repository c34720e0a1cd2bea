package conformance_test

import (
	"testing"

	"github.com/simroot/simroot/conformance"
)

// passes runs the kit and wants no failure.
func passes(t *testing.T, s *sim, o conformance.Options) conformance.Report {
	t.Helper()
	report, err := conformance.Run(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Failures() {
		t.Errorf("%s %s: %s", r.ID, r.Title, r.Reason)
		for _, e := range r.Exchanges {
			t.Logf("  > %s\n  < %s", e.Command, e.Answer)
		}
	}
	return report
}

func TestTheCorrectCardPassesEveryTest(t *testing.T) {
	report := passes(t, newSIM(t, newApplet(fullState(t))), fullOptions())
	for _, r := range report.Results {
		if r.Outcome == conformance.Skipped && r.ID != "3.3-type2" { // which is for others
			t.Errorf("%s was skipped: %s", r.ID, r.Reason)
		}
	}
}
