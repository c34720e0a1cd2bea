package laws

import (
	"fmt"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// Whatever client a SIM was delivered for, the platform brings it a credential in the
// slots of a fleet that says nothing of its SIMs; and a device then finds that credential.
func TestSIMsOfEveryProfileAreProvisioned(t *testing.T) {
	w := newWorld(t)
	w.fleet("certificates", api.Profile{})
	w.fleet("secrets", api.Profile{Type: api.PSKType})
	for i, profile := range vsim.Profiles() {
		t.Run(profile, func(t *testing.T) {
			iccid := fmt.Sprintf("898821190000002%05d", i)
			if _, err := w.onboard(vsim.NewMemory(w.sims("secrets", profile, iccid)[0])); err != nil {
				t.Fatal(err)
			}
			w.active(iccid)
			if profile == "type2" {
				return
			}
			iccid = fmt.Sprintf("898821190000001%05d", i)
			sim := vsim.NewMemory(w.sims("certificates", profile, iccid)[0])
			if _, err := w.onboard(sim); err != nil {
				t.Fatal(err)
			}
			credential := w.active(iccid)
			d, err := device.New(t.Context(), sim)
			if err != nil {
				t.Fatal(err)
			}
			status, err := d.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if status.Credential == nil || status.Credential.Serial != credential.Serial {
				t.Errorf("the device finds %+v, the platform gave the certificate %s", status.Credential, credential.Serial)
			}
			if _, err := d.TLSConfig(t.Context()); err != nil {
				t.Errorf("no TLS with it: %v", err)
			}
		})
	}
}
