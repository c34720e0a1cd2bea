package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// The SIMs that enrol over EST.
const (
	byFactory = "89882119900000000116"
	bySecret  = "89882119900000000108"
	inToken   = "89882119900000000090"
)

// enrolment is a platform with a fleet that enrols over EST.
type enrolment struct {
	*rig.Rig
	t   *testing.T
	dir string
	factory
}

// factory is a maker of devices, which gives them certificates of its own.
type factory struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newEnrolment(t *testing.T) *enrolment {
	t.Helper()
	dir := t.TempDir()
	r, err := rig.New(filepath.Join(dir, "platform"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	e := &enrolment{Rig: r, t: t, dir: dir, factory: factory{key: newKey(t)}}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "factory"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	e.root = e.sign(template, template, e.key.Public())
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.root.Raw}))
	if err := r.Fleet(t.Context(), "meters", api.Profile{EST: &api.EST{FactoryRoots: roots, ServerKeygen: true}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SIMs(t.Context(), "meters", "common", byFactory, bySecret, inToken); err != nil {
		t.Fatal(err)
	}
	return e
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (e *enrolment) sign(template, parent *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	e.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, e.key)
	if err != nil {
		e.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		e.t.Fatal(err)
	}
	return made
}

// device certifies the key of a device, as its maker does.
func (e *enrolment) device(iccid string, key crypto.PublicKey) *x509.Certificate {
	return e.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{SerialNumber: iccid}, NotBefore: e.root.NotBefore, NotAfter: e.root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}, e.root, key)
}

// secret has a one-time secret made.
func (e *enrolment) secret(iccid string) string {
	e.t.Helper()
	made, err := e.Admin.NewEnrolmentSecret(e.t.Context(), iccid)
	if err != nil {
		e.t.Fatal(err)
	}
	return made.Secret
}

// client runs the foreign client for the fleet, and returns what it printed and whether it succeeded.
func (e *enrolment) client(verb string, args ...string) (string, bool) {
	e.t.Helper()
	at, err := url.Parse(e.URL)
	if err != nil {
		e.t.Fatal(err)
	}
	args = append([]string{verb, "-server", at.Host, "-aps", "meters", "-explicit", e.TrustAnchor()}, args...)
	p := realparts.Start(e.t, realparts.Binary(e.t, "estclient"), args...)
	code := p.Wait()
	return p.Output(), code == 0
}

// enrolled is client for what gives one certificate, which it returns; it is then in the named file.
func (e *enrolment) enrolled(name, verb string, args ...string) *x509.Certificate {
	e.t.Helper()
	if out, ok := e.client(verb, append(args, "-out", e.in(name+".pem"))...); !ok {
		e.t.Fatalf("%s: %s", verb, out)
	}
	return e.pem(name)
}

// request makes a certificate request and its key in files of the given name.
func (e *enrolment) request(name string, template *x509.CertificateRequest) []string {
	e.t.Helper()
	key := newKey(e.t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		e.t.Fatal(err)
	}
	e.write(name+".key", pemText("PRIVATE KEY", der))
	made, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		e.t.Fatal(err)
	}
	e.write(name+".csr", pemText("CERTIFICATE REQUEST", made))
	return []string{"-csr", e.in(name + ".csr")}
}

// public is the key of a request.
func (e *enrolment) public(name string) crypto.PublicKey {
	e.t.Helper()
	text, err := os.ReadFile(e.in(name + ".csr"))
	if err != nil {
		e.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	made, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		e.t.Fatal(err)
	}
	return made.PublicKey
}

// presenting are the flags with which the foreign client presents a certificate.
func (e *enrolment) presenting(name string) []string {
	return []string{"-certs", e.in(name + ".pem"), "-key", e.in(name + ".key")}
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// states are those of a SIM's credentials by their certificates.
func (e *enrolment) states(iccid string) map[[32]byte]api.CredentialState {
	e.t.Helper()
	all := map[[32]byte]api.CredentialState{}
	for c, err := range e.Admin.Credentials(e.t.Context(), api.CredentialFilter{ICCID: iccid}) {
		if err != nil {
			e.t.Fatal(err)
		}
		all[sha256.Sum256(c.Certificate)] = c.State
	}
	return all
}

// is fails the test unless the credential with a certificate is in a state.
func (e *enrolment) is(c *x509.Certificate, iccid string, want api.CredentialState) {
	e.t.Helper()
	if got := e.states(iccid)[sha256.Sum256(c.Raw)]; got != want {
		e.t.Errorf("the credential is %q, want %q", got, want)
	}
}

func TestAForeignESTClientEnrolsAndRenews(t *testing.T) {
	e := newEnrolment(t)
	if out, ok := e.client("cacerts", "-out", e.in("anchors.pem")); !ok {
		t.Fatal(out)
	}
	if out, ok := e.client("csrattrs"); !ok || !strings.Contains(out, "1.2.840.10045.2.1") {
		t.Errorf("attributes: %s", out)
	}
	names := &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: byFactory}}
	first := e.request("first", names)
	if out, ok := e.client("enroll", first...); ok || !strings.Contains(out, "401") {
		t.Errorf("a stranger: %s", out)
	}
	e.request("factory", names)
	e.write("factory.pem", pemText("CERTIFICATE", e.device(byFactory, e.public("factory")).Raw))
	one := e.enrolled("first", "enroll", append(first, e.presenting("factory")...)...)
	if one.Subject.SerialNumber != byFactory {
		t.Errorf("a certificate for %s", one.Subject)
	}
	e.is(one, byFactory, api.Active)
	realparts.Run(t, "openssl", "verify", "-CAfile", e.in("anchors.pem"), "-purpose", "sslclient", e.in("first.pem"))

	next := append(e.request("next", &x509.CertificateRequest{RawSubject: one.RawSubject}), e.presenting("first")...)
	two := e.enrolled("next", "reenroll", next...)
	if again := e.enrolled("again", "reenroll", next...); !again.Equal(two) {
		t.Error("the repeated renewal has another certificate")
	}
	e.is(two, byFactory, api.Delivered)
	if out, ok := e.client("cacerts", e.presenting("next")...); !ok {
		t.Fatal(out)
	}
	e.is(two, byFactory, api.Active)
	e.is(one, byFactory, api.Superseded)
}

func TestAForeignESTClientHasAKeyMade(t *testing.T) {
	e := newEnrolment(t)
	made := append(e.request("made", &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: bySecret}}), "-user", bySecret, "-pass", e.secret(bySecret))
	out, ok := e.client("serverkeygen", append(made, "-out", e.in("made.pem"), "-keyout", e.in("made.key"))...)
	if !ok {
		t.Fatal(out)
	}
	if _, err := tls.LoadX509KeyPair(e.in("made.pem"), e.in("made.key")); err != nil {
		t.Errorf("the key is not that of the certificate: %v", err)
	}
	if out, ok := e.client("serverkeygen", made...); ok || !strings.Contains(out, "401") {
		t.Errorf("the secret was good twice: %s", out)
	}
}

func TestAVirtualSIMEnrolsAndThenRenewsWithItsOwnKey(t *testing.T) {
	e := newEnrolment(t)
	image := filepath.Join(e.dir, "own.sim")
	profile := filepath.Join(e.dir, "own.yaml")
	const iccid = "89882119900000000124"
	if err := os.WriteFile(profile, []byte(`description: a SIM with a key of its own
keys:
- {private: "01", public: "01", label: meter, type: p256, functions: [sign, generate], signatures: [ecdsa], hashes: [sha256], fresh: true}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := e.Admin.TransportKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	batch := filepath.Join(e.dir, "batch")
	realparts.Run(t, realparts.Binary(t, "simroot"), "card", "new", "--profile", profile, "--iccid", iccid, "--out", image,
		"--keys", batch, "--transport-key", hex.EncodeToString(key.Key))
	file, err := os.Open(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := e.Admin.Import(t.Context(), "meters", file); err != nil {
		t.Fatal(err)
	}

	card, err := vsim.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer card.Close()
	d, err := device.New(t.Context(), card)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := d.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	der, err := d.CertificateRequest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.write("sim.csr", pemText("CERTIFICATE REQUEST", der))
	first := e.enrolled("sim", "enroll", "-csr", e.in("sim.csr"), "-user", iccid, "-pass", e.secret(iccid))
	e.is(first, iccid, api.Active)

	// The SIM signs the handshake of its renewal.
	anchor, err := api.LoadRoots(e.TrustAnchor())
	if err != nil {
		t.Fatal(err)
	}
	over := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: anchor,
		Certificates: []tls.Certificate{{Certificate: [][]byte{first.Raw}, PrivateKey: signer}}}}
	defer over.CloseIdleConnections()
	answer, err := (&http.Client{Transport: over}).Post(e.URL+"/.well-known/est/meters/simplereenroll", "application/pkcs10",
		strings.NewReader(base64.StdEncoding.EncodeToString(der)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", answer.Status, body, err)
	}
	e.write("same.b64", string(body))
	if same := e.read("same"); !same.Equal(first) {
		t.Error("a renewal that is not due has another certificate")
	}
}

func TestAKeyInATokenIsEnrolledWithOpenSSLAndCurl(t *testing.T) {
	e := newEnrolment(t)
	t.Setenv("SOFTHSM2_CONF", e.in("softhsm2.conf"))
	if err := os.Mkdir(e.in("tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	e.write("softhsm2.conf", "directories.tokendir = "+e.in("tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	const uri = "pkcs11:token=device;object=meter;type=private?pin-value=1234"
	realparts.Run(t, "softhsm2-util", "--init-token", "--free", "--label", "device", "--pin", "1234", "--so-pin", "5678")
	realparts.Run(t, "pkcs11-tool", "--module", module, "--login", "--pin", "1234", "--token-label", "device",
		"--keypairgen", "--key-type", "EC:prime256v1", "--label", "meter", "--id", "01")
	t.Setenv("PKCS11_MODULE_PATH", module)
	realparts.Run(t, "openssl", "req", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key", uri,
		"-subj", "/serialNumber="+inToken, "-sha256", "-outform", "DER", "-out", e.in("request.der"))
	realparts.Run(t, "openssl", "base64", "-in", e.in("request.der"), "-out", e.in("request.b64"))
	at := e.URL + "/.well-known/est/meters/"
	e.write("curlrc", `user = "`+inToken+":"+e.secret(inToken)+"\"\n")
	curl := func(out string, args ...string) {
		t.Helper()
		realparts.Run(t, "curl", append([]string{"--silent", "--show-error", "--fail-with-body", "--cacert", e.TrustAnchor(), "--output", e.in(out)}, args...)...)
	}
	post := []string{"--header", "Content-Type: application/pkcs10", "--data-binary", "@" + e.in("request.b64")}
	curl("first.b64", append(post, "--config", e.in("curlrc"), at+"simpleenroll")...)
	first := e.read("first")

	// The token's key signs the handshake, too. What was made for the same key is given again.
	renew := append([]string{"--engine", "pkcs11", "--key-type", "ENG", "--key", uri, "--cert", e.in("first.pem")}, post...)
	realparts.Run(t, "openssl", "req", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key", uri,
		"-subj", "/OU=meters/CN="+inToken+"/serialNumber="+inToken, "-sha256", "-outform", "DER", "-out", e.in("request.der"))
	realparts.Run(t, "openssl", "base64", "-in", e.in("request.der"), "-out", e.in("request.b64"))
	curl("again.b64", append(renew, at+"simplereenroll")...)
	if again := e.read("again"); !again.Equal(first) {
		t.Error("a renewal that is not due has another certificate")
	}
	curl("anchors.b64", at+"cacerts")
	e.openPKCS7("anchors")
	realparts.Run(t, "openssl", "verify", "-CAfile", e.in("anchors.pem"), "-purpose", "sslclient", e.in("first.pem"))
}

func (e *enrolment) in(name string) string { return filepath.Join(e.dir, name) }

func (e *enrolment) write(name, content string) {
	e.t.Helper()
	if err := os.WriteFile(e.in(name), []byte(content), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// openPKCS7 has OpenSSL make PEM of an answer in base64.
func (e *enrolment) openPKCS7(name string) {
	e.t.Helper()
	realparts.Run(e.t, "openssl", "base64", "-d", "-in", e.in(name+".b64"), "-out", e.in(name+".p7"))
	realparts.Run(e.t, "openssl", "pkcs7", "-inform", "DER", "-in", e.in(name+".p7"), "-print_certs", "-out", e.in(name+".pem"))
}

// read is the one certificate in an answer.
func (e *enrolment) read(name string) *x509.Certificate {
	e.t.Helper()
	e.openPKCS7(name)
	return e.pem(name)
}

// pem is the one certificate in a file.
func (e *enrolment) pem(name string) *x509.Certificate {
	e.t.Helper()
	text, err := os.ReadFile(e.in(name + ".pem"))
	if err != nil {
		e.t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || strings.Contains(string(rest), "BEGIN") {
		e.t.Fatalf("not one certificate: %s", text)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		e.t.Fatal(err)
	}
	return certificate
}
