package laws

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// errCut is the end of an onboarding that the test brings about.
var errCut = errors.New("cut")

// cuttingCard is lost at one APDU: before the SIM has got it, or after the SIM has
// carried it out and before its answer arrives.
type cuttingCard struct {
	*vsim.Card
	left      int // APDUs until the cut
	delivered bool
}

func (c *cuttingCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if c.left == 0 {
		c.left-- // for good
		if c.delivered {
			if _, err := c.Card.Transmit(ctx, command); err != nil {
				return nil, err
			}
		}
		return nil, errCut
	}
	if c.left < 0 {
		return nil, errCut
	}
	c.left--
	return c.Card.Transmit(ctx, command)
}

// A cut after any APDU of any onboarding leaves the SIM usable, and a second onboarding
// succeeds with no second active credential.
func TestACutAnywhereLeavesTheSIMUsable(t *testing.T) {
	for name, kind := range map[string]struct {
		fleet, profile  string
		rotation, trial bool
		renewal         api.Renewal
	}{
		"first certificate":                {"meters", "common", false, false, ""},
		"rotated certificate":              {"rotating-meters", "common", true, false, api.Rotate},
		"rotated certificate with a trial": {"trying-meters", "common", true, true, api.Rotate},
		"renewed certificate":              {"renewing-meters", "common", true, true, api.Renew},
		"first PSK":                        {"tags", "type2", false, false, ""},
		"rotated PSK":                      {"rotating-tags", "type2", true, false, api.Rotate},
		"rotated PSK with a trial":         {"trying-tags", "type2", true, true, api.Rotate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := api.Profile{Type: api.CertificateType, Renewal: kind.renewal}
			if kind.profile == "type2" {
				p.Type = api.PSKType
			}
			if kind.rotation { // always due for renewal
				p.Lifetime = api.Duration(time.Hour)
				p.RenewBefore = p.Lifetime - 1
			}
			w.fleet(kind.fleet, p)
			for _, delivered := range []bool{false, true} {
				for n, uncut := 0, false; !uncut; n++ {
					if n > 100 {
						t.Fatal("the onboarding does not come to an end")
					}
					var opts []device.Option
					if kind.trial {
						opts = append(opts, device.WithTrial(func(context.Context, *device.Device) error { return nil }))
					}
					uncut = cutOnce(t, w, kind.fleet, kind.profile, kind.rotation, n, delivered, opts...)
				}
			}
		})
	}
}

// cutOnce cuts an onboarding at APDU n and repeats it. It tells whether the onboarding
// came to its end before the cut.
func cutOnce(t *testing.T, w *world, fleet, profile string, rotation bool, n int, delivered bool, opts ...device.Option) (uncut bool) {
	t.Helper()
	iccid := fmt.Sprintf("8988211%d%012d", map[bool]int{false: 0, true: 1}[delivered], n)
	sim := vsim.NewMemory(w.sims(fleet, profile, iccid)[0])
	defer sim.Close()
	if rotation {
		if _, err := w.onboard(sim); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.onboard(&cuttingCard{Card: sim, left: n, delivered: delivered}, opts...)
	if err != nil && !errors.Is(err, errCut) {
		t.Fatalf("cut at APDU %d: %v", n, err)
	}
	if rotation {
		usable(t, w, sim, iccid, n) // the agent has died, and nobody has told the SIM
	}
	sim.Reset()
	if rotation {
		usable(t, w, sim, iccid, n)
	}
	if _, err := w.onboard(sim, opts...); err != nil {
		t.Fatalf("second onboarding after a cut at APDU %d (delivered: %v): %v", n, delivered, err)
	}
	active := w.active(iccid)
	if got := usable(t, w, sim, iccid, n); got.ID != active.ID {
		t.Fatalf("cut at APDU %d: the SIM uses credential %s, active is %s", n, got.ID, active.ID)
	}
	return err == nil
}

// usable checks that the SIM holds what servers accept: a certificate with which it signs, or a
// PSK that it names by its identity. It returns the credential.
func usable(t *testing.T, w *world, sim card.Conn, iccid string, n int) api.Credential {
	t.Helper()
	d, err := device.New(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Applet().Close(context.WithoutCancel(t.Context())) // a SIM has few channels
	if info, err := d.Applet().Info(t.Context()); err != nil {
		t.Fatal(err)
	} else if info.TypeII() {
		return usablePSK(t, w, d, n)
	}
	certificate, err := d.Certificate(t.Context())
	if err != nil {
		t.Fatalf("cut at APDU %d: %v", n, err)
	}
	digest := sha256.Sum256([]byte("still there?"))
	signature, err := certificate.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatalf("cut at APDU %d: %v", n, err)
	}
	if !ecdsa.VerifyASN1(certificate.Leaf.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
		t.Fatalf("cut at APDU %d: key and certificate on the SIM do not belong together", n)
	}
	for _, c := range w.credentials(iccid) {
		if string(c.Certificate) == string(certificate.Certificate[0]) {
			if !c.State.Accepted() {
				t.Fatalf("cut at APDU %d: the SIM uses a credential that is %s", n, c.State)
			}
			return c
		}
	}
	t.Fatalf("cut at APDU %d: the SIM uses a certificate that the platform does not know", n)
	return api.Credential{}
}

func usablePSK(t *testing.T, w *world, d *device.Device, n int) api.Credential {
	t.Helper()
	key, err := d.PSK(t.Context())
	if err != nil {
		t.Fatalf("cut at APDU %d: %v", n, err)
	}
	for _, c := range w.credentials(string(d.ICCID())) {
		if c.Identity != key.Identity() {
			continue
		}
		if !c.State.Accepted() {
			t.Fatalf("cut at APDU %d: the SIM uses a credential that is %s", n, c.State)
		}
		ours, err := key.MasterSecret(t.Context(), crypto.SHA256, nil, "still there?", nil)
		theirs, wrong := w.platformKey(c.ID).MasterSecret(t.Context(), crypto.SHA256, nil, "still there?", nil)
		if err != nil || wrong != nil || !bytes.Equal(ours, theirs) {
			t.Fatalf("cut at APDU %d: the SIM's secret is not that of %s: %v, %v", n, c.Identity, err, wrong)
		}
		return c
	}
	t.Fatalf("cut at APDU %d: the SIM names the identity %q, which the platform does not know", n, key.Identity())
	return api.Credential{}
}
