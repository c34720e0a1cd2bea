package ocsp_test

import (
	"crypto"
	"crypto/x509"
	"testing"

	judge "golang.org/x/crypto/ocsp"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
)

func TestAfterARolloverEachCAAnswersForItsOwnCertificates(t *testing.T) {
	w := fixture.New(t)
	r := responder(t, w) // it goes on through the rollover
	first := w.CA.Issuer()
	ask := func(c credential.Record, issuer *x509.Certificate) *judge.Response {
		t.Helper()
		leaf, err := x509.ParseCertificate(c.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		request, err := judge.CreateRequest(leaf, issuer, &judge.RequestOptions{Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Answer(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		response, err := judge.ParseResponseForCert(a.DER, leaf, issuer) // the responder's certificate must be of the issuer
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	_, old := w.Provisioned(t, "meters")
	if a := ask(old, first); a.Status != judge.Good {
		t.Errorf("before: %+v", a)
	}
	if _, err := w.Rollover.Begin(t.Context(), "test", api.Change{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rollover.Finish(t.Context(), "test", api.FinishRollover{Force: true}); err != nil {
		t.Fatal(err)
	}
	second := w.CA.Issuer()
	_, young := w.Provisioned(t, "meters")
	for c, issuer := range map[*credential.Record]*x509.Certificate{&old: first, &young: second} {
		if a := ask(*c, issuer); a.Status != judge.Good {
			t.Errorf("after: %+v", a)
		}
		if _, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
			t.Fatal(err)
		}
		if a := ask(*c, issuer); a.Status != judge.Revoked || a.RevocationReason != judge.KeyCompromise {
			t.Errorf("revoked: %+v", a)
		}
	}
	if a := ask(old, second); a.Status != judge.Unknown {
		t.Errorf("the second CA on a certificate of the first: %+v", a)
	}
}
