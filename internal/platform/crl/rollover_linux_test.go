package crl_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// rolled is a world whose CA has just followed another one.
type rolled struct {
	*fixture.World
	t *testing.T
}

// verify asks OpenSSL about a certificate, with the chain and what a server is to have of all CAs' lists. Every
// certificate of the chain is checked.
func (w rolled) verify(c credential.Record, args ...string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	lists, err := w.CRL.All(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"chain.pem": append(w.CA.Anchors(), w.CA.Issuers()...), "lists.pem": lists,
		"leaf.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(w.t.Context(), "openssl", append(append([]string{"verify", "-CAfile", "chain.pem", "-CRLfile", "lists.pem", "-attime", strconv.FormatInt(w.Now().Unix(), 10)}, args...), "leaf.pem")...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func (w rolled) is(c credential.Record, want string) {
	w.t.Helper()
	for _, check := range []string{"-crl_check", "-crl_check_all"} {
		if got := w.verify(c, check); !strings.Contains(got, want) {
			w.t.Errorf("%s: %s, want %s", check, got, want)
		}
	}
}

func (w rolled) revoke(c credential.Record) {
	w.t.Helper()
	if _, err := w.Life.Revoke(w.t.Context(), "test", c.ID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
		w.t.Fatal(err)
	}
}

func parsed(t *testing.T, der []byte, err error) (*x509.RevocationList, []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	var serials []string
	for _, e := range list.RevokedCertificateEntries {
		serials = append(serials, ca.SerialText(e.SerialNumber))
	}
	return list, serials
}

func TestThroughARolloverOpenSSLAcceptsBothCAsCertificatesAndRefusesWhatEitherHasRevoked(t *testing.T) {
	w := rolled{fixture.New(t), t}
	_, old := w.Provisioned(t, "meters")
	_, oldGoes := w.Provisioned(t, "meters")
	w.is(old, ": OK")
	if _, err := w.Rollover.Begin(t.Context(), "test", api.Change{}); err != nil {
		t.Fatal(err)
	}
	w.is(old, ": OK")
	if _, err := w.Rollover.Finish(t.Context(), "test", api.FinishRollover{Force: true}); err != nil {
		t.Fatal(err)
	}
	w.Pass(60 * 24 * time.Hour)
	_, young := w.Provisioned(t, "meters")
	_, youngGoes := w.Provisioned(t, "meters")
	for _, c := range []credential.Record{old, oldGoes, young, youngGoes} {
		w.is(c, ": OK")
	}
	w.revoke(oldGoes)
	w.revoke(youngGoes)
	for _, c := range []credential.Record{old, young} {
		w.is(c, ": OK")
	}
	for _, c := range []credential.Record{oldGoes, youngGoes} {
		w.is(c, "certificate revoked")
	}
	w.Pass(31 * 24 * time.Hour)
	if err := w.Rollover.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.is(young, ": OK")
	w.is(youngGoes, "certificate revoked")
	_, err := w.CRL.Complete(t.Context(), 1)
	fixture.Refused(t, err, api.CodeUnknownCA)
	if refused, ok := err.(*api.Error); ok && refused.Status != http.StatusNotFound { //nolint:errorlint // as it was made
		t.Errorf("status %d", refused.Status)
	}
}

func TestEachCAsListsNameItsOwnCertificatesOnly(t *testing.T) {
	w := rolled{fixture.New(t), t}
	w.CA.Publish("http://pki.example")
	_, old := w.Provisioned(t, "meters")
	if _, err := w.Rollover.Begin(t.Context(), "test", api.Change{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rollover.Finish(t.Context(), "test", api.FinishRollover{Force: true}); err != nil {
		t.Fatal(err)
	}
	_, young := w.Provisioned(t, "meters")
	w.revoke(old)
	w.revoke(young)
	for _, i := range w.CA.Trusted() {
		own := map[int]credential.Record{1: old, 2: young}[i.Number]
		leaf, err := x509.ParseCertificate(own.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if want := "http://pki.example" + api.CRLShardPath(i.Number, ca.ShardOf(own.Serial)); leaf.CRLDistributionPoints[0] != want {
			t.Errorf("a certificate of CA %d names %v, want %s", i.Number, leaf.CRLDistributionPoints, want)
		}
		for name, get := range map[string]func() ([]byte, error){
			"complete": func() ([]byte, error) { return w.CRL.Complete(t.Context(), i.Number) },
			"delta":    func() ([]byte, error) { return w.CRL.Delta(t.Context(), i.Number) },
			"shard":    func() ([]byte, error) { return w.CRL.Shard(t.Context(), i.Number, ca.ShardOf(own.Serial)) },
		} {
			der, err := get()
			list, serials := parsed(t, der, err)
			if err := list.CheckSignatureFrom(i.Certificate); err != nil {
				t.Errorf("%s list of CA %d: %v", name, i.Number, err)
			}
			if len(serials) != 1 || serials[0] != own.Serial {
				t.Errorf("%s list of CA %d names %v, want %s alone", name, i.Number, serials, own.Serial)
			}
			if name == "shard" && !bytes.Contains(der, []byte(leaf.CRLDistributionPoints[0])) {
				t.Errorf("the shard of CA %d does not say that it is found at %v", i.Number, leaf.CRLDistributionPoints)
			}
		}
	}
	present, err := w.CRL.Complete(t.Context(), crl.Present)
	if _, serials := parsed(t, present, err); len(serials) != 1 || serials[0] != young.Serial {
		t.Errorf("the present CA's list names %v", serials)
	}
}
