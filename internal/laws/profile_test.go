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

// The slots that docs/profiles.md gives for clients with identifiers of their own: the
// platform fills the very containers that those clients read.
func TestFleetsSlotsCanBeThoseOfAForeignClient(t *testing.T) {
	w := newWorld(t)
	for profile, fleet := range map[string]api.Profile{
		"wolfssl": {Slots: [2]api.Slot{
			{PrivateKey: "\x02", PublicKey: "\x02", Certificate: "\x03"},
			{PrivateKey: "\x12", PublicKey: "\x12", Certificate: "\x13"}}, TrustAnchor: "\x04"},
		"wolfssl2": {Slots: [2]api.Slot{
			{PrivateKey: "02", PublicKey: "02", Certificate: "04"},
			{PrivateKey: "\x112", PublicKey: "\x112", Certificate: "\x114"}}, TrustAnchor: "03"},
		"orange-test": {Slots: [2]api.Slot{
			{PrivateKey: "\x01", PublicKey: "\x01", Certificate: "\x02"},
			{PrivateKey: "\x12\x34", PublicKey: "\xAB\xCD", Certificate: "\x12\x34"}}},
		"m33mu": {Slots: [2]api.Slot{
			{PrivateKey: "\x01\x00", PublicKey: "\x01\x00", Certificate: "\x02\x00"},
			{PrivateKey: "\x11\x00", PublicKey: "\x11\x00", Certificate: "\x12\x00"}}, TrustAnchor: "\x03\x00"},
	} {
		t.Run(profile, func(t *testing.T) {
			w.fleet(profile, fleet)
			iccid := fmt.Sprintf("8988211900000030%04d", len(profile))
			sim := vsim.NewMemory(w.sims(profile, profile, iccid)[0])
			made := len(sim.State().Applet.Objects)
			if _, err := w.onboard(sim); err != nil {
				t.Fatal(err)
			}
			w.active(iccid)
			d, err := device.New(t.Context(), sim)
			if err != nil {
				t.Fatal(err)
			}
			credential, err := d.Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if credential.PrivateKey != fleet.Slots[0].PrivateKey {
				t.Errorf("the credential is under key %s, want %s", credential.PrivateKey, fleet.Slots[0].PrivateKey)
			}
			created := len(sim.State().Applet.Objects) - made
			if want := map[string]int{"orange-test": 1}[profile]; created != want { // a file for the trust anchor
				t.Errorf("%d containers were created, want %d: the SIM had its own", created, want)
			}
		})
	}
}
