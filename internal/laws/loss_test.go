package laws

import (
	"errors"
	"fmt"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/vsim"
)

// A SIM that has lost its store, as after a repair by its issuer, is given a new
// credential wherever the old one stood; none is left that could never be used.
func TestASIMThatHasLostItsStoreGetsANewCredential(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	stood := map[api.CredentialState]bool{}
	for n, uncut := 0, false; !uncut; n++ {
		iccid := fmt.Sprintf("89882110%012d", n)
		fresh := w.sims("meters", "common", iccid)[0]
		_, err := w.onboard(&cuttingCard{Card: vsim.NewMemory(fresh), left: n})
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		uncut = err == nil
		before := w.credentials(iccid)
		emptied := vsim.NewMemory(fresh)
		if _, err := w.onboard(emptied); err != nil {
			t.Fatalf("after a cut at APDU %d: %v", n, err)
		}
		active := w.active(iccid)
		if got := usable(t, w, emptied, iccid, n); got.ID != active.ID {
			t.Errorf("cut at APDU %d: the SIM uses credential %s, active is %s", n, got.ID, active.ID)
		}
		for _, old := range before {
			stood[old.State] = true
			if old.State != api.Requested && old.ID == active.ID {
				t.Errorf("cut at APDU %d: the platform believes the SIM to hold a key that it has lost", n)
			}
		}
	}
	for _, state := range []api.CredentialState{api.Requested, api.Issued, api.Active} {
		if !stood[state] {
			t.Errorf("no credential stood at %s: the test says less than it should", state)
		}
	}
}
