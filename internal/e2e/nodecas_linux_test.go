package e2e

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

// certified is a SIM that was onboarded at a node, by its certificate.
func certified(t *testing.T, state image.State, at *api.Client) *x509.Certificate {
	t.Helper()
	d, err := device.New(t.Context(), vsim.NewMemory(state))
	if err != nil {
		t.Fatal(err)
	}
	done, err := d.Onboard(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(done.Credential.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// issuers are the issuing CAs that a node publishes, the one that issues first.
func issuers(t *testing.T, at *api.Client) (all []*x509.Certificate) {
	t.Helper()
	text, err := at.Issuers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// ready tells whether a node says that it is.
func (n *nodes) ready(i int) bool {
	response, err := http.Get("http://" + n.admins[i] + "/readyz")
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// asked is the status that a node's OCSP responder gives a certificate.
func (n *nodes) asked(i int, leaf, issuer *x509.Certificate) int {
	n.t.Helper()
	request, err := ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA256})
	if err != nil {
		n.t.Fatal(err)
	}
	roots, err := api.LoadRoots(filepath.Join(n.dirs[i], "ca.pem"))
	if err != nil {
		n.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	response, err := client.Post("https://"+n.addresses[i]+api.PathOCSP, "application/ocsp-request", bytes.NewReader(request))
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	der, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	answer, err := ocsp.ParseResponseForCert(der, leaf, issuer)
	if err != nil {
		n.t.Fatalf("node %d: %v", i, err)
	}
	return answer.Status
}

// One node takes the platform from one CA to the next. The other learns of every step while it serves: it publishes
// both roots, issues by the new CA, and has lists and answers of both; without the new key it is not ready,
// and issues nothing.
func TestARolloverOnOneNodeIsOneOnTheOther(t *testing.T) {
	n := startNodes(t)
	admin, agent := n.client(n.addresses[0], n.token), n.client(n.addresses[1], "")
	states := n.simsOf(admin, 3)
	leaves := []*x509.Certificate{certified(t, states[0], agent)}
	old := issuers(t, agent)[0]

	if _, err := admin.BeginRollover(t.Context(), api.Change{}); err != nil {
		t.Fatal(err)
	}
	realparts.WaitFor(t, "the other node to publish both CAs", func() bool { return len(issuers(t, agent)) == 2 })
	if !n.ready(1) {
		t.Error("the old CA issues, and its key is there")
	}
	leaves = append(leaves, certified(t, states[1], agent))
	// Somebody forgets to copy the key.
	if _, err := admin.FinishRollover(t.Context(), api.FinishRollover{Force: true}); err != nil {
		t.Fatal(err)
	}
	realparts.WaitFor(t, "the other node not to be ready", func() bool { return !n.ready(1) })
	n.processes[1].WaitLog(`lacks the key of CA 2 .*copy the folder \S+g2`)
	d, err := device.New(t.Context(), vsim.NewMemory(states[2]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Onboard(t.Context(), agent); err == nil {
		t.Error("a node without the new key has issued")
	}
	if err := os.CopyFS(filepath.Join(n.dirs[1], "ca", "g2"), os.DirFS(filepath.Join(n.dirs[0], "ca", "g2"))); err != nil {
		t.Fatal(err)
	}
	realparts.Run(t, "chmod", "-R", "go=", filepath.Join(n.dirs[1], "ca", "g2"))
	realparts.WaitFor(t, "the other node to be ready", func() bool { return n.ready(1) })
	leaves = append(leaves, certified(t, states[2], agent))

	both := issuers(t, agent)
	if len(both) != 2 || !both[1].Equal(old) {
		t.Fatalf("%d CAs are published", len(both))
	}
	for i, issuer := range []*x509.Certificate{old, old, both[0]} {
		if err := leaves[i].CheckSignatureFrom(issuer); err != nil {
			t.Errorf("SIM %d: %v", i, err)
		}
	}
	for _, i := range []int{0, 2} { // one of each CA
		for c, err := range admin.Credentials(t.Context(), api.CredentialFilter{ICCID: leaves[i].Subject.SerialNumber}) {
			if err != nil {
				t.Fatal(err)
			}
			if c.State != api.Active { // what could not be issued was begun anew
				continue
			}
			if _, err := admin.RevokeCredential(t.Context(), c.ID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for node := range n.addresses {
		at := n.client(n.addresses[node], "")
		for number, issuer := range []*x509.Certificate{old, both[0]} {
			der, err := at.CRLOf(t.Context(), number+1)
			if err != nil {
				t.Fatal(err)
			}
			list, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := list.CheckSignatureFrom(issuer); err != nil || len(list.RevokedCertificateEntries) != 1 {
				t.Errorf("node %d, the list of CA %d has %d certificates, %v", node, number+1, len(list.RevokedCertificateEntries), err)
			}
		}
		for i, want := range []int{ocsp.Revoked, ocsp.Good, ocsp.Revoked} {
			if got := n.asked(node, leaves[i], map[bool]*x509.Certificate{true: old, false: both[0]}[i < 2]); got != want {
				t.Errorf("node %d, the certificate of SIM %d: status %d, want %d", node, i, got, want)
			}
		}
		one, errOne := os.ReadFile(filepath.Join(n.dirs[node], "ca.pem"))
		if errOne != nil || bytes.Count(one, []byte("BEGIN")) != 2 {
			t.Errorf("node %d: ca.pem has %d roots, %v", node, bytes.Count(one, []byte("BEGIN")), errOne)
		}
	}
}
