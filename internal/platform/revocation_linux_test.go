package platform

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// published is a platform whose certificates name where their revocation is found.
type published struct {
	client *api.Client
	plain  string // URL
	dir    folder
	files  string // a folder with chain.pem
	issuer *x509.Certificate
}

func publish(t *testing.T) published {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := "http://" + l.Addr().String()
	dir, secret := newFolder(t, Options{})
	p, err := Open(dir, Options{PublicURL: plain + "/"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.ServePlain(ctx, l) }()
	t.Cleanup(func() { // after the platform, which is served below, has stopped
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	client, _ := serveOpen(t, p, dir, secret)
	issuers, err := client.Issuers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := client.TrustAnchors(ctx)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(issuers)
	issuer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	for name, text := range map[string][]byte{"chain.pem": append(roots, issuers...), "issuer.pem": issuers} {
		if err := os.WriteFile(filepath.Join(files, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return published{client, plain, folder(dir), files, issuer}
}

// server has a certificate issued, and puts it into a file NAME.pem.
func (p published) server(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	csr, _ := fixture.Request(t)
	issued, err := p.client.RequestServerCertificate(t.Context(), api.ServerRequest{Names: []string{name}, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	return p.write(t, name, issued.Chain)
}

// appServer registers an application server, and puts its certificate into a file NAME.pem.
func (p published) appServer(t *testing.T, name string) (id string, c *x509.Certificate) {
	t.Helper()
	invited, err := p.client.InviteAppServer(t.Context(), api.Invitation{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	csr, _ := fixture.Request(t)
	registered, err := p.client.RegisterAppServer(t.Context(), api.Registration{Token: invited.Token, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	return invited.ID, p.write(t, name, registered.Chain)
}

// write puts the first certificate of a chain into a file NAME.pem.
func (p published) write(t *testing.T, name, chain string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(chain))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.files, name+".pem"), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func fetch(t *testing.T, address string) ([]byte, http.Header) {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", address, answer.Status, body, err)
	}
	return body, answer.Header
}

// openssl runs OpenSSL in the folder of the files, and returns what it printed and whether it was content.
func (p published) openssl(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = p.files
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// list fetches the list that a certificate names into the file list.pem.
func (p published) list(t *testing.T, address string) {
	t.Helper()
	der, _ := fetch(t, address)
	if err := os.WriteFile(filepath.Join(p.files, "list.pem"), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// check asks OpenSSL about a certificate, by the list at an address and by OCSP.
func (p published) check(t *testing.T, c *x509.Certificate, name, address string, want bool, says string) {
	t.Helper()
	p.list(t, address)
	if out, ok := p.openssl(t, "crl", "-in", "list.pem", "-noout", "-verify", "-CAfile", "chain.pem"); !ok || !strings.Contains(out, "verify OK") {
		t.Errorf("the list of %s: %s", name, out)
	}
	if out, ok := p.openssl(t, "verify", "-crl_check", "-CAfile", "chain.pem", "-CRLfile", "list.pem", name+".pem"); ok != want || !strings.Contains(out, says) {
		t.Errorf("%s by the list at %s: %s", name, address, out)
	}
	out, ok := p.openssl(t, "ocsp", "-issuer", "issuer.pem", "-cert", name+".pem", "-url", c.OCSPServer[0], "-CAfile", "chain.pem")
	status := map[bool]string{true: name + ".pem: good", false: name + ".pem: revoked"}[want]
	if !ok || !strings.Contains(out, "Response verify OK") || !strings.Contains(out, status) {
		t.Errorf("%s by OCSP: %s", name, out)
	}
}

func TestOpenSSLFindsAWithdrawnApplicationServerOnTheListItNamesAndByOCSP(t *testing.T) {
	p := publish(t)
	_, stays := p.appServer(t, "stays")
	id, goes := p.appServer(t, "goes")
	lists := []string{goes.CRLDistributionPoints[0], p.plain + api.PathCRL}
	for _, address := range lists {
		p.check(t, goes, "goes", address, true, "OK")
	}
	if err := p.client.WithdrawAppServer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, address := range lists {
		p.check(t, goes, "goes", address, false, "certificate revoked")
	}
	p.check(t, stays, "stays", stays.CRLDistributionPoints[0], true, "OK")
	if out, _ := p.openssl(t, "ocsp", "-issuer", "issuer.pem", "-cert", "goes.pem", "-url", goes.OCSPServer[0], "-CAfile", "chain.pem", "-no_nonce"); !strings.Contains(out, "cessationOfOperation") {
		t.Errorf("the reason is not told: %s", out)
	}
}

func TestOpenSSLFindsThePlatformsOwnCertificateGood(t *testing.T) {
	p := publish(t)
	text, err := os.ReadFile(p.dir.serverChain())
	if err != nil {
		t.Fatal(err)
	}
	c := p.write(t, "own", string(text))
	c.OCSPServer = []string{p.plain + api.PathOCSP} // it was issued before there was a public URL
	p.check(t, c, "own", p.plain+api.PathCRL, true, "OK")
	if _, err := p.client.RevokeServerCertificate(t.Context(), c.SerialNumber.Text(16), api.Change{}); err != nil {
		t.Fatal(err)
	}
	p.check(t, c, "own", p.plain+api.PathCRL, false, "certificate revoked")
}

func TestOpenSSLFindsARevokedServerOnTheListItNamesAndByOCSP(t *testing.T) {
	p := publish(t)
	stays, goes := p.server(t, "stays"), p.server(t, "goes")
	serial := strings.ToLower(goes.SerialNumber.Text(16))
	check := func(c *x509.Certificate, name, address string, want bool, says string) {
		t.Helper()
		p.check(t, c, name, address, want, says)
	}
	for _, address := range []string{goes.CRLDistributionPoints[0], p.plain + api.PathCRL} {
		check(goes, "goes", address, true, "OK")
	}
	if _, err := p.client.RevokeServerCertificate(t.Context(), serial, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{goes.CRLDistributionPoints[0], p.plain + api.PathCRL} {
		check(goes, "goes", address, false, "certificate revoked")
	}
	check(stays, "stays", stays.CRLDistributionPoints[0], true, "OK")
	if stays.CRLDistributionPoints[0] != goes.CRLDistributionPoints[0] { // one time in 64 they share a shard
		p.list(t, goes.CRLDistributionPoints[0])
		if out, ok := p.openssl(t, "verify", "-crl_check", "-CAfile", "chain.pem", "-CRLfile", "list.pem", "stays.pem"); ok {
			t.Errorf("another shard's list counts for a certificate: %s", out)
		}
	}
	if out, _ := p.openssl(t, "ocsp", "-issuer", "issuer.pem", "-cert", "goes.pem", "-url", goes.OCSPServer[0], "-CAfile", "chain.pem", "-no_nonce"); !strings.Contains(out, "keyCompromise") {
		t.Errorf("the reason is not told: %s", out)
	}
	if out, _ := p.openssl(t, "ocsp", "-issuer", "issuer.pem", "-serial", "0x4711", "-url", goes.OCSPServer[0], "-CAfile", "chain.pem"); !strings.Contains(out, "unknown") {
		t.Errorf("a certificate that was never issued: %s", out)
	}
}

func TestAServersCertificateIsListedAndRevokedOnce(t *testing.T) {
	p := publish(t)
	serial := p.server(t, "goes").SerialNumber.Text(16)
	revoked, err := p.client.RevokeServerCertificate(t.Context(), serial, api.Change{Reason: api.ReasonSuperseded, Note: "moved"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.client.RevokeServerCertificate(t.Context(), serial, api.Change{Reason: api.ReasonKeyCompromise})
	if err != nil || again.Reason != api.ReasonSuperseded || !again.Revoked.Equal(revoked.Revoked) {
		t.Errorf("a repetition has changed it: %+v, %v", again, err)
	}
	var listed []api.IssuedServerCertificate
	for c, err := range p.client.ServerCertificates(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, c)
	}
	if len(listed) != 2 || listed[1].Serial != serial || listed[1].Reason != api.ReasonSuperseded || !slices.Equal(listed[1].Names, []string{"goes"}) {
		t.Errorf("beside the platform's own, listed: %+v", listed)
	}
	if _, err := p.client.RevokeServerCertificate(t.Context(), "4711", api.Change{}); !api.HasCode(err, api.CodeUnknownCert) {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestAnOCSPAnswerByGetMayBeCachedForAWhile(t *testing.T) {
	p := publish(t)
	c := p.server(t, "stays")
	request, err := ocsp.CreateRequest(c, p.issuer, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(request)
	first, header := fetch(t, c.OCSPServer[0]+"/"+url.PathEscape(text))
	if !strings.Contains(header.Get("Cache-Control"), "max-age=300") || header.Get("ETag") == "" || header.Get("Expires") == "" ||
		header.Get("Content-Type") != "application/ocsp-response" {
		t.Errorf("header %v", header)
	}
	second, _ := fetch(t, c.OCSPServer[0]+"/"+text) // its slashes are in the path
	if !bytes.Equal(first, second) {
		t.Error("the same question was signed twice")
	}
	answer, err := ocsp.ParseResponseForCert(first, c, p.issuer)
	if err != nil || answer.Status != ocsp.Good {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestWithoutTLSOnlyWhatIsSignedIsServed(t *testing.T) {
	p := publish(t)
	for _, path := range []string{api.PathFleets, api.PathRelay, api.PathTrustAnchors, api.PathHealth, api.PathCRL + "x"} {
		answer, err := http.Get(p.plain + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
}
