package crl_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// judge writes the chain and lists into files and asks OpenSSL about a certificate.
func judge(t *testing.T, w *fixture.World, c credential.Record, lists ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	var all []byte
	for _, der := range lists {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	for name, text := range map[string][]byte{
		"chain.pem": append(w.CA.Anchors(), w.CA.Issuers()...), "lists.pem": all,
		"leaf.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "openssl", "verify", "-crl_check", "-use_deltas", "-extended_crl", "-CAfile", "chain.pem", "-CRLfile", "lists.pem", "leaf.pem")
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func get(t *testing.T, list func() ([]byte, error)) []byte {
	t.Helper()
	der, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestOpenSSLBringsACompleteListUpToDateWithADelta(t *testing.T) {
	w := fixture.New(t)
	w.CA.Publish("http://pki.example")
	complete := func() ([]byte, error) { return w.CRL.Complete(t.Context(), crl.Present) }
	delta := func() ([]byte, error) { return w.CRL.Delta(t.Context(), crl.Present) }
	held, resumes := w.Provisioned(t, "meters")
	_, goes := w.Provisioned(t, "meters")
	_, stays := w.Provisioned(t, "meters")
	if _, err := w.Registry.Suspend(t.Context(), "test", held, api.Change{}); err != nil {
		t.Fatal(err)
	}
	base := get(t, complete)
	if _, err := w.Registry.Resume(t.Context(), "test", held, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Life.Revoke(t.Context(), "test", goes.ID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
		t.Fatal(err)
	}
	changes := get(t, delta)
	for name, ask := range map[string]struct {
		c     credential.Record
		lists [][]byte
		want  string
	}{
		"revoked since, base alone":            {goes, [][]byte{base}, ": OK"},
		"revoked since":                        {goes, [][]byte{base, changes}, "certificate revoked"},
		"resumed since, base alone":            {resumes, [][]byte{base}, "certificate revoked"},
		"resumed since":                        {resumes, [][]byte{base, changes}, ": OK"},
		"nothing has happened":                 {stays, [][]byte{base, changes}, ": OK"},
		"revoked, by the complete list of now": {goes, [][]byte{get(t, complete)}, "certificate revoked"},
	} {
		if got := judge(t, w, ask.c, ask.lists...); !strings.Contains(got, ask.want) {
			t.Errorf("%s: %s, want %s", name, got, ask.want)
		}
	}
}

func TestADeltaReachesBackAsFarAsACompleteListIsValid(t *testing.T) {
	w := fixture.New(t)
	var numbers []int64
	for range 4 {
		_, c := w.Provisioned(t, "meters")
		if _, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{}); err != nil {
			t.Fatal(err)
		}
		der := get(t, func() ([]byte, error) { return w.CRL.Complete(t.Context(), crl.Present) })
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, list.Number.Int64())
		w.Pass(9 * time.Hour)
	}
	list, err := x509.ParseRevocationList(get(t, func() ([]byte, error) { return w.CRL.Delta(t.Context(), crl.Present) }))
	if err != nil {
		t.Fatal(err)
	}
	// Made 0, 9, 18 and 27 hours after the first; the list of now is as old as the last of them, or was refreshed since.
	if len(list.RevokedCertificateEntries) != 3 && len(list.RevokedCertificateEntries) != 2 {
		t.Errorf("%d entries in the delta, of lists %v", len(list.RevokedCertificateEntries), numbers)
	}
}

func TestAShardStaysAsItIsWhenOthersChange(t *testing.T) {
	w := fixture.New(t)
	w.CA.Publish("http://pki.example", "http://old.example")
	shards := func() map[int]string {
		all := map[int]string{}
		for n := range 64 {
			all[n] = string(get(t, func() ([]byte, error) { return w.CRL.Shard(t.Context(), 1, n) }))
		}
		return all
	}
	before := shards()
	_, c := w.Provisioned(t, "meters")
	if _, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	for n, list := range shards() {
		if own := n == ca.ShardOf(c.Serial); own == (list == before[n]) {
			t.Errorf("shard %d, own %v: changed %v", n, own, list != before[n])
		} else if own && (!strings.Contains(list, "http://pki.example/v1/crl/shards/") || !strings.Contains(list, "http://old.example/v1/crl/shards/")) {
			t.Error("a list names the present or the earlier URL not")
		}
	}
}

func TestAPlatformWithoutAPublicURLHasNoShards(t *testing.T) {
	w := fixture.New(t)
	_, err := w.CRL.Shard(t.Context(), 1, 0)
	fixture.Refused(t, err, api.CodeConflict)
}

// Two nodes make lists from the same rows.
func TestEveryNodeServesTheSameList(t *testing.T) {
	w := fixture.New(t)
	_, c := w.Provisioned(t, "meters")
	other := crl.New(w.Store, w.CA, w.Now)
	get(t, func() ([]byte, error) { return other.Complete(t.Context(), crl.Present) })
	if _, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	one, err1 := x509.ParseRevocationList(get(t, func() ([]byte, error) { return w.CRL.Complete(t.Context(), crl.Present) }))
	two, err2 := x509.ParseRevocationList(get(t, func() ([]byte, error) { return other.Complete(t.Context(), crl.Present) }))
	if err1 != nil || err2 != nil || string(one.RawTBSRevocationList) != string(two.RawTBSRevocationList) || len(one.RevokedCertificateEntries) != 1 {
		t.Error("the lists of two nodes differ, or do not show a revocation", err1, err2)
	}
}
