package crl_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

func TestAListThatIsBroughtUpToDateIsTheOneThatWouldBeMadeAnew(t *testing.T) {
	w := fixture.New(t)
	w.CA.Publish("http://pki.example")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var certificates []transition.Certificate
	for n := range 300 {
		certificates = append(certificates, transition.Certificate{
			Serial: fmt.Sprintf("4%030x%x", r.Uint64(), r.IntN(4)), NotAfter: w.Now().Add(time.Duration(r.IntN(100)) * time.Hour), // of four shards
		})
		if n%10 == 0 {
			certificates[n].Serial = certificates[n].Serial[20:]
		}
	}
	tbs := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.CheckSignatureFrom(w.CA.Issuer()); err != nil {
			t.Fatal(err)
		}
		return list.RawTBSRevocationList
	}
	for range 200 {
		var some []transition.Certificate
		for range r.IntN(4) {
			some = append(some, certificates[r.IntN(len(certificates))])
		}
		code := []int{1, store.CertificateHold, store.RemoveFromCRL}[r.IntN(3)]
		w.Pass(time.Duration(r.IntN(120)) * time.Minute)
		if err := w.Store.Update(t.Context(), func(tx store.Tx) error { return transition.Listed(tx, w.Now(), code, some...) }); err != nil {
			t.Fatal(err)
		}
		fresh := crl.New(w.Store, w.CA, w.Now)
		shard := r.IntN(4)
		if r.IntN(2) == 0 && !bytes.Equal(tbs(w.CRL.Shard(t.Context(), 1, shard)), tbs(fresh.Shard(t.Context(), 1, shard))) {
			t.Fatalf("shard %d has become another list than one that is made anew", shard)
		}
		if r.IntN(2) == 0 && !bytes.Equal(tbs(w.CRL.Complete(t.Context(), 1)), tbs(fresh.Complete(t.Context(), 1))) {
			t.Fatal("the complete list has become another than one that is made anew")
		}
	}
}
