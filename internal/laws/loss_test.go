package laws

import (
	"errors"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/vsim"
)

// A SIM that has lost its store, as after a repair by its issuer, is given a new
// credential wherever the old one stood; none is left that could never be used.
func TestASIMThatHasLostItsStoreGetsANewCredential(t *testing.T) {
	const pastTheEnd = 1000
	for name, cut := range map[string]int{
		"behind the key pair":    12,
		"behind the certificate": 14,
		"behind the activation":  pastTheEnd,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fleet("meters", api.Profile{})
			fresh := w.sims("meters", "common", someICCID)[0]
			_, err := w.onboard(&cuttingCard{Card: vsim.NewMemory(fresh), left: cut})
			if (err == nil) != (cut == pastTheEnd) || err != nil && !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			before := w.credentials(someICCID)
			if len(before) != 1 || before[0].State == api.Requested {
				t.Fatalf("the first onboarding left %+v, want one credential with its key", before)
			}
			emptied := vsim.NewMemory(fresh)
			if _, err := w.onboard(emptied); err != nil {
				t.Fatal(err)
			}
			active := w.active(someICCID)
			if active.ID == before[0].ID {
				t.Error("the platform believes the SIM to hold a key that it has lost")
			}
			if got := usable(t, w, emptied, someICCID, cut); got.ID != active.ID {
				t.Errorf("the SIM uses credential %s, active is %s", got.ID, active.ID)
			}
		})
	}
}
