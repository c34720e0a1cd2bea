package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	judge "golang.org/x/crypto/ocsp"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/ocsp"
)

func responder(t testing.TB, w *fixture.World) *ocsp.Responder {
	t.Helper()
	return ocsp.New(w.Store, w.CA, w.Now)
}

func question(t testing.TB, w *fixture.World, serial string, hash crypto.Hash) []byte {
	t.Helper()
	n, ok := new(big.Int).SetString(serial, 16)
	if !ok {
		t.Fatal(serial)
	}
	der, err := judge.CreateRequest(&x509.Certificate{SerialNumber: n}, w.CA.Issuer(), &judge.RequestOptions{Hash: hash})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func ask(t testing.TB, w *fixture.World, r *ocsp.Responder, request []byte) (*judge.Response, []byte) {
	t.Helper()
	a, err := r.Answer(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	response, err := judge.ParseResponse(a.DER, w.CA.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	return response, a.DER
}

func TestTheNextAnswerShowsWhatHasHappenedToACertificate(t *testing.T) {
	w := fixture.New(t)
	r := responder(t, w)
	iccid, c := w.Provisioned(t, "meters")
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		if a, _ := ask(t, w, r, question(t, w, c.Serial, hash)); a.Status != judge.Good || !a.NextUpdate.After(a.ThisUpdate) {
			t.Errorf("%s: %+v", hash, a)
		}
	}
	if a, _ := ask(t, w, r, question(t, w, "4711", crypto.SHA1)); a.Status != judge.Unknown {
		t.Errorf("one that was never issued: %+v", a)
	}
	if _, err := w.Registry.Suspend(t.Context(), "test", iccid, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if a, _ := ask(t, w, r, question(t, w, c.Serial, crypto.SHA1)); a.Status != judge.Revoked || a.RevocationReason != judge.CertificateHold || !a.RevokedAt.Equal(w.Now()) {
		t.Errorf("suspended: %+v", a)
	}
	if _, err := w.Registry.Resume(t.Context(), "test", iccid, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if a, _ := ask(t, w, r, question(t, w, c.Serial, crypto.SHA1)); a.Status != judge.Good {
		t.Errorf("resumed: %+v", a)
	}
	if _, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
		t.Fatal(err)
	}
	if a, _ := ask(t, w, r, question(t, w, c.Serial, crypto.SHA1)); a.Status != judge.Revoked || a.RevocationReason != judge.KeyCompromise {
		t.Errorf("revoked: %+v", a)
	}
}

func TestAnAnswerIsKeptUntilItAges(t *testing.T) {
	w := fixture.New(t)
	r := responder(t, w)
	_, c := w.Provisioned(t, "meters")
	request := question(t, w, c.Serial, crypto.SHA1)
	_, first := ask(t, w, r, request)
	if _, again := ask(t, w, r, request); !bytes.Equal(first, again) {
		t.Error("the same question was signed twice")
	}
	w.Pass(31 * time.Minute)
	if a, aged := ask(t, w, r, request); bytes.Equal(first, aged) || !a.ThisUpdate.Equal(w.Now()) {
		t.Error("an answer has become old")
	}
}

func TestTheRespondersCertificateIsItsOwnAndReplacesItself(t *testing.T) {
	w := fixture.New(t)
	r := responder(t, w)
	_, c := w.Provisioned(t, "meters")
	first, _ := ask(t, w, r, question(t, w, c.Serial, crypto.SHA1))
	noCheck := func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}) }
	found := false
	for _, e := range first.Certificate.Extensions {
		found = found || noCheck(e)
	}
	if usage := first.Certificate.ExtKeyUsage; !found || len(usage) != 1 || usage[0] != x509.ExtKeyUsageOCSPSigning {
		t.Errorf("the responder's certificate: no check %v, usage %v", found, usage)
	}
	w.Pass(first.Certificate.NotAfter.Sub(w.Now()) - 24*time.Hour)
	second, _ := ask(t, w, r, question(t, w, c.Serial, crypto.SHA1))
	if second.Certificate.Equal(first.Certificate) || !second.Certificate.NotAfter.After(first.Certificate.NotAfter) {
		t.Error("the responder's certificate was not replaced in time")
	}
}

// withNonce adds a nonce to a request without extensions.
func withNonce(t testing.TB, request, nonce []byte) []byte {
	t.Helper()
	type extension struct {
		ID    asn1.ObjectIdentifier
		Value []byte
	}
	inner, err := asn1.Marshal(nonce)
	if err != nil {
		t.Fatal(err)
	}
	var outer struct{ TBS struct{ List asn1.RawValue } }
	if _, err := asn1.Unmarshal(request, &outer); err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS struct {
			List       asn1.RawValue
			Extensions []extension `asn1:"explicit,tag:2"`
		}
	}{struct {
		List       asn1.RawValue
		Extensions []extension `asn1:"explicit,tag:2"`
	}{outer.TBS.List, []extension{{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, inner}}}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestANonceOfOneTo128BytesComesBack(t *testing.T) {
	w := fixture.New(t)
	r := responder(t, w)
	_, c := w.Provisioned(t, "meters")
	request := question(t, w, c.Serial, crypto.SHA256)
	for size, good := range map[int]bool{0: false, 1: true, 32: true, 128: true, 129: false} {
		nonce := bytes.Repeat([]byte{0xA5}, size)
		a, err := r.Answer(t.Context(), withNonce(t, request, nonce))
		if err != nil {
			t.Fatal(err)
		}
		if !good {
			if !bytes.Equal(a.DER, judge.MalformedRequestErrorResponse) {
				t.Errorf("a nonce of %d bytes: %x", size, a.DER)
			}
			continue
		}
		if _, err := judge.ParseResponse(a.DER, w.CA.Issuer()); err != nil || !a.Nonce || !bytes.Contains(a.DER, nonce) {
			t.Errorf("a nonce of %d bytes: %v", size, err)
		}
	}
}

func TestWhoAsksAboutAnotherCAGetsNothing(t *testing.T) {
	w, stranger := fixture.New(t), fixture.New(t)
	a, err := responder(t, w).Answer(t.Context(), question(t, stranger, "4711", crypto.SHA1))
	if err != nil || !bytes.Equal(a.DER, judge.UnauthorizedErrorResponse) {
		t.Errorf("%x, %v", a.DER, err)
	}
}

func FuzzNoRequestBreaksTheResponder(f *testing.F) {
	w := fixture.New(f)
	r := responder(f, w)
	_, c := w.Provisioned(f, "meters")
	request := question(f, w, c.Serial, crypto.SHA1)
	f.Add(request)
	f.Add(withNonce(f, request, []byte("nonce")))
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, request []byte) {
		a, err := r.Answer(t.Context(), request)
		if err != nil || len(a.DER) < 5 {
			t.Fatalf("%x: %v", a.DER, err)
		}
	})
}

func BenchmarkAKeptAnswer(b *testing.B) {
	w := fixture.New(b)
	r := responder(b, w)
	_, c := w.Provisioned(b, "meters")
	request := question(b, w, c.Serial, crypto.SHA1)
	for b.Loop() {
		if _, err := r.Answer(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}
