package laws

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// anchorsOn are the trust anchors that a device finds on its SIM.
func anchorsOn(t *testing.T, sim card.Conn) []*x509.Certificate {
	t.Helper()
	d, err := device.New(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Applet().Close(context.WithoutCancel(t.Context())) // a SIM has few channels
	all, err := d.Anchors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// roots are the trust anchors that the platform publishes.
func (w *world) roots() (all []*x509.Certificate) {
	w.t.Helper()
	text, err := w.Agent.TrustAnchors(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, root)
	}
	return all
}

func contains(all []*x509.Certificate, c *x509.Certificate) bool {
	for _, other := range all {
		if other.Equal(c) {
			return true
		}
	}
	return false
}

// While the new root goes to a SIM, a cut after any APDU leaves the old one there, and the credential;
// the next visit brings the new one, and nothing is done twice.
func TestACutAnywhereOfAReanchoringLeavesTheOldRoot(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.fleet("meters", api.Profile{Type: api.CertificateType})
	const most = 40
	var sims []*vsim.Card
	var iccids []string
	for n := range 2 * most {
		iccid := fmt.Sprintf("89882119%012d", n)
		sim := vsim.NewMemory(w.sims("meters", "common", iccid)[0])
		defer sim.Close()
		if _, err := w.onboard(sim); err != nil {
			t.Fatal(err)
		}
		sims, iccids = append(sims, sim), append(iccids, iccid)
	}
	old := w.roots()[0]
	if _, err := w.Admin.BeginRollover(ctx, api.Change{}); err != nil {
		t.Fatal(err)
	}
	c, err := w.Admin.CreateCampaign(ctx, api.CampaignRequest{Fleet: "meters", Kind: api.AnchorAll})
	if err != nil {
		t.Fatal(err)
	}
	for i, delivered := range []bool{false, true} {
		uncut := false
		for n := 0; !uncut; n++ {
			if n == most {
				t.Fatal("the visit does not come to an end")
			}
			sim, iccid := sims[i*most+n], iccids[i*most+n]
			before := w.active(iccid)
			_, err := w.onboard(&cuttingCard{Card: sim, left: n, delivered: delivered})
			if err != nil && !errors.Is(err, errCut) {
				t.Fatalf("cut at APDU %d: %v", n, err)
			}
			uncut = err == nil
			sim.Reset()
			if !contains(anchorsOn(t, sim), old) || usable(t, w, sim, iccid, n).ID != before.ID {
				t.Fatalf("cut at APDU %d: the old root or the credential is gone", n)
			}
			if _, err := w.onboard(sim); err != nil {
				t.Fatalf("second visit after a cut at APDU %d: %v", n, err)
			}
			got := anchorsOn(t, sim)
			for _, root := range w.roots() {
				if len(got) != 2 || !contains(got, root) {
					t.Fatalf("after a second visit the SIM holds %d roots, and not both", len(got))
				}
			}
			if w.active(iccid).ID != before.ID {
				t.Fatal("the credential was replaced, which nobody wanted")
			}
		}
	}
	if c, err = w.Admin.Campaign(ctx, c.ID); err != nil || c.Progress.Done == 0 || c.Progress.Done+c.Progress.Remaining != 2*most {
		t.Errorf("%+v, %v", c.Progress, err)
	}
}

// A rollover from end to end: agents that know only the old root reach the platform, application servers
// accept the certificates of both CAs, and an aborted root leaves the SIMs.
func TestOneCAFollowsAnotherWhileEverythingGoesOn(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.fleet("meters", api.Profile{Type: api.CertificateType})
	states := w.sims("meters", "common", someICCID)
	sim := vsim.NewMemory(states[0])
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	middleware, err := w.Middleware(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer middleware.Close()
	if _, err := w.Admin.BeginRollover(ctx, api.Change{}); err != nil {
		t.Fatal(err)
	}
	anchor := func(roots int) {
		t.Helper()
		c, err := w.Admin.CreateCampaign(ctx, api.CampaignRequest{Fleet: "meters", Kind: api.AnchorAll})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.onboard(sim); err != nil { // the agent's client knows only the old root
			t.Fatal(err)
		}
		if _, err := w.Admin.ChangeCampaign(ctx, c.ID, api.CampaignAbort, api.Change{}); err != nil && !api.HasCode(err, api.CodeConflict) {
			t.Fatal(err)
		}
		if got := anchorsOn(t, sim); len(got) != roots {
			t.Fatalf("the SIM holds %d roots, want %d", len(got), roots)
		}
	}
	anchor(2)
	if _, err := w.Admin.AbortRollover(ctx, api.Change{}); err != nil {
		t.Fatal(err)
	}
	anchor(1)
	if _, err := w.Admin.BeginRollover(ctx, api.Change{}); err != nil {
		t.Fatal(err)
	}
	anchor(2)
	before := w.active(someICCID)
	if _, err := w.Admin.FinishRollover(ctx, api.FinishRollover{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Admin.CreateCampaign(ctx, api.CampaignRequest{Fleet: "meters", Kind: api.RotateAll}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.onboard(sim); err != nil { // the platform shows a certificate of the new CA now
		t.Fatal(err)
	}
	after := w.active(someICCID)
	one, errOne := x509.ParseCertificate(before.Certificate)
	two, errTwo := x509.ParseCertificate(after.Certificate)
	if err := errors.Join(errOne, errTwo); err != nil {
		t.Fatal(err)
	}
	if one.Issuer.CommonName == two.Issuer.CommonName {
		t.Error("the new CA does not issue")
	}
	for _, leaf := range []*x509.Certificate{one, two} {
		if err := w.verifies(leaf); err != nil {
			t.Errorf("a certificate by %s: %v", leaf.Issuer.CommonName, err)
		}
	}
}

// verifies tells whether a certificate is one of the CAs that the platform publishes.
func (w *world) verifies(leaf *x509.Certificate) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	anchors, err := w.Agent.TrustAnchors(w.t.Context())
	if err != nil {
		return err
	}
	issuers, err := w.Agent.Issuers(w.t.Context())
	if err != nil {
		return err
	}
	o.Roots.AppendCertsFromPEM(anchors)
	o.Intermediates.AppendCertsFromPEM(issuers)
	_, err = leaf.Verify(o)
	return err
}
