package crl_test

import (
	"bytes"
	"crypto/x509"
	"sync"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// current returns the CRL and the reason code of each certificate on it.
func current(t testing.TB, w *fixture.World) (*x509.RevocationList, map[string]int) {
	t.Helper()
	der, err := w.CRL.Complete(t.Context(), crl.Present)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(w.CA.Issuer()); err != nil {
		t.Error(err)
	}
	reasons := map[string]int{}
	for _, e := range list.RevokedCertificateEntries {
		reasons[ca.SerialText(e.SerialNumber)] = e.ReasonCode
	}
	return list, reasons
}

func TestWhatWasAnsweredRevokedIsOnTheNextCRL(t *testing.T) {
	w := fixture.New(t)
	if _, reasons := current(t, w); len(reasons) != 0 {
		t.Fatalf("a CRL of nothing lists %v", reasons)
	}
	var wg sync.WaitGroup
	for range 6 {
		_, c := w.Provisioned(t, "meters")
		wg.Go(func() {
			if _, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
				t.Error(err)
			}
			if _, reasons := current(t, w); reasons[c.Serial] != 1 {
				t.Error("a certificate that was revoked is not on the CRL as such")
			}
		})
	}
	wg.Wait()
}

func TestASuspendedSIMIsOnHoldUntilItIsResumed(t *testing.T) {
	w := fixture.New(t)
	iccid, c := w.Provisioned(t, "meters")
	if _, err := w.Registry.Suspend(t.Context(), "test", iccid, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if _, reasons := current(t, w); reasons[c.Serial] != 6 {
		t.Errorf("reasons %v: want a certificateHold", reasons)
	}
	if _, err := w.Registry.Resume(t.Context(), "test", iccid, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if _, reasons := current(t, w); len(reasons) != 0 {
		t.Errorf("reasons %v after the SIM was resumed", reasons)
	}
	if _, err := w.Registry.Terminate(t.Context(), "test", iccid, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if _, reasons := current(t, w); reasons[c.Serial] != 5 {
		t.Errorf("reasons %v: want a cessationOfOperation", reasons)
	}
}

func TestAnUnchangedCRLIsKeptUntilItAges(t *testing.T) {
	w := fixture.New(t)
	_, c := w.Provisioned(t, "meters")
	if _, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	first, _ := current(t, w)
	again, _ := current(t, w)
	restarted, err := crl.New(w.Store, w.CA, w.Now).Complete(t.Context(), crl.Present)
	if err != nil || !bytes.Equal(again.Raw, first.Raw) {
		t.Error("the same content was signed twice", err)
	}
	if list, err := x509.ParseRevocationList(restarted); err != nil || !bytes.Equal(list.RawTBSRevocationList, first.RawTBSRevocationList) {
		t.Error("after a restart the list of the same revision is another", err)
	}
	w.Pass(ca.CRLLifetime / 2)
	aged, reasons := current(t, w)
	if aged.Number.Cmp(first.Number) <= 0 || !aged.ThisUpdate.After(first.ThisUpdate) || len(reasons) != 1 {
		t.Errorf("the CRL was not renewed: number %s at %s", aged.Number, aged.ThisUpdate)
	}
	w.Pass(c.NotAfter.Sub(w.Now()))
	if _, reasons := current(t, w); len(reasons) != 0 {
		t.Error("an expired certificate is still on the CRL")
	}
}
