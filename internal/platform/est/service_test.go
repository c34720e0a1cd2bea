package est

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// world is a service over the platform's own services, with a factory.
type world struct {
	*fixture.World
	*Service
	factory *factory
}

// newWorld makes the fleets "devices", which trusts the factory, and "strict", which requires channel
// bindings and makes keys.
func newWorld(t testing.TB) world {
	t.Helper()
	w := world{World: fixture.New(t), factory: newFactory(t)}
	w.Service = New(w.Registry, w.Life, w.CA, w.Now)
	for name, settings := range map[string]api.EST{
		"devices": {FactoryRoots: w.factory.pem()},
		"strict":  {FactoryRoots: w.factory.pem(), ICCIDFrom: api.CommonNameAttribute, RequireChannelBinding: true, ServerKeygen: true},
		"secrets": {},
	} {
		if _, err := w.Registry.CreateFleet(t.Context(), "test", api.Fleet{Name: name, Profile: api.Profile{EST: &settings, Organization: "Example"}}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// factory is the CA of a maker of devices.
type factory struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newFactory(t testing.TB) *factory {
	f := &factory{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "factory"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	f.root = f.sign(template, template, &f.key.PublicKey)
	return f
}

func (f *factory) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	f.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return made
}

func (f *factory) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.root.Raw}))
}

// device certifies a device with the given subject, and returns its connection.
func (f *factory) device(subject pkix.Name) *tls.ConnectionState {
	leaf := f.sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: subject, NotBefore: f.root.NotBefore, NotAfter: f.root.NotAfter}, f.root, &newKey(f.t).PublicKey)
	return presenting(leaf)
}

func presenting(c *x509.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{Version: tls.VersionTLS12, TLSUnique: []byte("a connection"), PeerCertificates: []*x509.Certificate{c}}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// csr makes a request in base64.
func csr(t testing.TB, template x509.CertificateRequest, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return encode(der)
}

// challenged makes a request with attributes, which package x509 cannot make.
func challenged(t testing.TB, key *ecdsa.PrivateKey, attributes ...any) []byte {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	info, err := asn1.Marshal(struct {
		Version    int
		Subject    pkix.RDNSequence
		Key        asn1.RawValue
		Attributes []any `asn1:"tag:0,set"`
	}{0, pkix.RDNSequence{}, asn1.RawValue{FullBytes: spki}, attributes})
	if err != nil {
		t.Fatal(err)
	}
	digest := sum(info)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: info}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return encode(der)
}

type attribute struct {
	ID     asn1.ObjectIdentifier
	Values []string `asn1:"set"`
}

func challenge(text string) attribute { return attribute{oidChallengePassword, []string{text}} }

// certificates reads a certs-only PKCS#7.
func certificates(t testing.TB, text []byte) []*x509.Certificate {
	t.Helper()
	content, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	var outer struct {
		Type    asn1.ObjectIdentifier
		Content struct {
			Version      int
			Digests      asn1.RawValue `asn1:"set"`
			Encapsulated struct{ Type asn1.ObjectIdentifier }
			Certificates asn1.RawValue `asn1:"tag:0"`
			Signers      asn1.RawValue `asn1:"set"`
		} `asn1:"explicit,tag:0"`
	}
	if rest, err := asn1.Unmarshal(content, &outer); err != nil || len(rest) > 0 || !outer.Type.Equal(oidSignedData) || outer.Content.Version != 1 {
		t.Fatalf("not certs-only: %v, %d bytes left", err, len(rest))
	}
	all, err := x509.ParseCertificates(outer.Content.Certificates.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// one is the only certificate of an answer.
func one(t testing.TB, answer []byte, err error) *x509.Certificate {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	all := certificates(t, answer)
	if len(all) != 1 {
		t.Fatalf("%d certificates, want one", len(all))
	}
	return all[0]
}

// refusedFor fails the test unless err is a refusal that names a field.
func refusedFor(t testing.TB, err error, code api.Code, field string) {
	t.Helper()
	fixture.Refused(t, err, code)
	if err != nil && !strings.Contains(err.Error(), field) {
		t.Errorf("%v: it does not name %s", err, field)
	}
}

func TestTheFactoryCertificateBringsTheFirstCertificate(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "devices")
	key := newKey(t)
	r := Request{Fleet: "devices", Connection: w.factory.device(pkix.Name{SerialNumber: iccid}), CSR: csr(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: iccid, Organization: []string{"What I like"}}}, key)}
	answer, err := w.Enrol(t.Context(), r)
	got := one(t, answer, err)
	if !key.PublicKey.Equal(got.PublicKey) || got.Subject.SerialNumber != iccid || got.Subject.Organization[0] != "Example" || got.Subject.OrganizationalUnit[0] != "devices" {
		t.Errorf("the certificate's subject is %s", got.Subject)
	}
	if err := got.CheckSignatureFrom(w.CA.Issuer()); err != nil {
		t.Error(err)
	}
	again, err := w.Enrol(t.Context(), r)
	if err != nil || !bytes.Equal(again, answer) {
		t.Errorf("the repetition has another answer, %v", err)
	}
}

func TestThePresentCertificateRenewsItself(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "devices")
	first, err := w.Enrol(t.Context(), Request{Fleet: "devices", Connection: w.factory.device(pkix.Name{SerialNumber: iccid}), CSR: csr(t, x509.CertificateRequest{}, newKey(t))})
	old := one(t, first, err)
	renewal := Request{Fleet: "devices", Connection: presenting(old), CSR: csr(t, x509.CertificateRequest{RawSubject: old.RawSubject}, newKey(t))}
	answer, err := w.Reenrol(t.Context(), renewal)
	next := one(t, answer, err)
	if next.Subject.String() != old.Subject.String() {
		t.Errorf("%s became %s", old.Subject, next.Subject)
	}
	if again, err := w.Reenrol(t.Context(), renewal); err != nil || !bytes.Equal(again, answer) {
		t.Errorf("the renewal whose answer was lost has another answer, %v", err)
	}

	// Both are good until the new one is presented.
	w.wantState(t, old, api.Active)
	w.wantState(t, next, api.Delivered)
	if _, err := w.CACerts(t.Context(), "devices", presenting(next)); err != nil {
		t.Fatal(err)
	}
	w.wantState(t, old, api.Superseded)
	w.wantState(t, next, api.Active)
	_, err = w.Reenrol(t.Context(), renewal)
	fixture.Refused(t, err, api.CodeUnauthorized)

	other := Request{Fleet: "devices", Connection: presenting(next), CSR: csr(t, x509.CertificateRequest{Subject: pkix.Name{SerialNumber: iccid, Organization: []string{"Somebody"}}}, newKey(t))}
	_, err = w.Reenrol(t.Context(), other)
	refusedFor(t, err, api.CodeBadRequest, "csr.subject")
}

func (w world) wantState(t testing.TB, c *x509.Certificate, want api.CredentialState) {
	t.Helper()
	if found, err := w.Life.ByCertificate(t.Context(), c); err != nil || found.State != want {
		t.Errorf("the credential is %s, want %s: %v", found.State, want, err)
	}
}

func TestARenewalTakesTheCertificateThatIsRenewed(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "devices")
	_, err := w.Reenrol(t.Context(), Request{Fleet: "devices", Connection: w.factory.device(pkix.Name{SerialNumber: iccid}), CSR: csr(t, x509.CertificateRequest{}, newKey(t))})
	fixture.Refused(t, err, api.CodeUnauthorized)
}

func TestAOneTimeSecretBringsTheFirstCertificate(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "secrets")
	made, err := w.Registry.NewEnrolmentSecret(t.Context(), "me", iccid)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Fleet: "secrets", Basic: true, User: iccid, Password: made.Secret, Connection: &tls.ConnectionState{}, CSR: csr(t, x509.CertificateRequest{}, newKey(t))}
	answer, err := w.Enrol(t.Context(), r)
	one(t, answer, err)
	r.CSR = csr(t, x509.CertificateRequest{}, newKey(t))
	_, err = w.Enrol(t.Context(), r)
	fixture.Refused(t, err, api.CodeUnauthorized)
	for _, bad := range []Request{{Basic: true}, {Basic: true, User: iccid}, {Basic: true, User: "' OR 1=1", Password: "x"}, {Basic: true, User: iccid, Password: "guess"}} {
		bad.Fleet, bad.CSR = "secrets", r.CSR
		_, err = w.Enrol(t.Context(), bad)
		fixture.Refused(t, err, api.CodeUnauthorized)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "devices")
	stranger := newFactory(t)
	request := csr(t, x509.CertificateRequest{}, newKey(t))
	for name, connection := range map[string]*tls.ConnectionState{
		"no TLS":                    nil,
		"no certificate":            {},
		"another factory":           stranger.device(pkix.Name{SerialNumber: iccid}),
		"a subject without a SIM":   w.factory.device(pkix.Name{CommonName: iccid}),
		"the platform's issuing CA": presenting(w.CA.Issuer()),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Enrol(t.Context(), Request{Fleet: "devices", Connection: connection, CSR: request})
			fixture.Refused(t, err, api.CodeUnauthorized)
		})
	}
	_, err := w.Enrol(t.Context(), Request{Fleet: "secrets", Connection: w.factory.device(pkix.Name{SerialNumber: iccid}), CSR: request})
	fixture.Refused(t, err, api.CodeUnauthorized)
	_, err = w.Enrol(t.Context(), Request{Fleet: "meters", CSR: request})
	fixture.Refused(t, err, api.CodeForbidden)
	_, err = w.Enrol(t.Context(), Request{Fleet: "nobody", CSR: request})
	fixture.Refused(t, err, api.CodeUnknownFleet)
}

func TestARequestThatDisagreesIsRefusedByTheFieldsName(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "devices")
	connection := w.factory.device(pkix.Name{SerialNumber: iccid})
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tampered, err := decode(csr(t, x509.CertificateRequest{}, newKey(t)))
	if err != nil {
		t.Fatal(err)
	}
	tampered[len(tampered)-1] ^= 1
	key := newKey(t)
	for field, request := range map[string][]byte{
		"csr: not base64":           []byte("-----BEGIN CERTIFICATE REQUEST-----"),
		"csr: not a PKCS#10":        encode([]byte("hello")),
		"csr: 16385 bytes":          bytes.Repeat([]byte("A"), MaxRequest+1),
		"csr.signature":             encode(tampered),
		"csr.subjectPublicKeyInfo":  csr(t, x509.CertificateRequest{}, p384),
		"csr.subject.commonName":    csr(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "somebody"}}, key),
		"csr.subject.serialNumber":  csr(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: iccid, SerialNumber: "8988219999999999999"}}, key),
		"csr.subjectAltName":        csr(t, x509.CertificateRequest{DNSNames: []string{"bank.example"}}, key),
		"csr.challengePassword":     challenged(t, key, challenge("another connection")),
		"csr.attributes: challenge": challenged(t, key, attribute{oidChallengePassword, []string{"one", "two"}}),
		"csr.signatureAlgorithm":    csr(t, x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA1}, key),
	} {
		_, err := w.Enrol(t.Context(), Request{Fleet: "devices", Connection: connection, CSR: request})
		refusedFor(t, err, api.CodeBadRequest, field)
	}
	all, err := w.Life.Credentials(t.Context(), credential.Filter{ICCID: iccid}, "", 0)
	if err != nil || len(all.Items) > 0 {
		t.Errorf("a refusal left %d credentials behind, %v", len(all.Items), err)
	}
}

func TestAFleetMayRequireTheChannelBinding(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "strict")
	connection := w.factory.device(pkix.Name{CommonName: iccid})
	key := newKey(t)
	_, err := w.Enrol(t.Context(), Request{Fleet: "strict", Connection: connection, CSR: csr(t, x509.CertificateRequest{}, key)})
	refusedFor(t, err, api.CodeBadRequest, "csr.challengePassword")
	answer, err := w.Enrol(t.Context(), Request{Fleet: "strict", Connection: connection, CSR: challenged(t, key, challenge(binding(connection)))})
	one(t, answer, err)
	_, err = w.Enrol(t.Context(), Request{Fleet: "strict", Connection: &tls.ConnectionState{Version: tls.VersionTLS12, PeerCertificates: connection.PeerCertificates}, CSR: challenged(t, key, challenge(""))})
	refusedFor(t, err, api.CodeBadRequest, "csr.challengePassword")
}

// handshake is a connection between two.
func handshake(t testing.TB, version uint16) (client, server tls.ConnectionState) {
	t.Helper()
	f := newFactory(t)
	key := newKey(t)
	leaf := f.sign(&x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: f.root.NotBefore, NotAfter: f.root.NotAfter}, f.root, &key.PublicKey)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := tls.Client(a, &tls.Config{InsecureSkipVerify: true, MaxVersion: version, MinVersion: tls.VersionTLS12})
	s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}, SessionTicketsDisabled: true})
	done := make(chan error, 1)
	go func() { done <- s.HandshakeContext(context.Background()) }()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState()
}

func TestBothEndsOfAConnectionHaveTheSameBindingAndOthersNot(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := handshake(t, version)
		_, other := handshake(t, version)
		if server.Version != version || binding(&server) == "" || binding(&client) != binding(&server) || binding(&other) == binding(&server) {
			t.Errorf("%s: %q, %q and elsewhere %q", tls.VersionName(version), binding(&client), binding(&server), binding(&other))
		}
	}
}

func TestKeysAreMadeForFleetsThatAllowIt(t *testing.T) {
	w := newWorld(t)
	iccid := w.SIM(t, "strict")
	connection := w.factory.device(pkix.Name{CommonName: iccid})
	key, answer, err := w.ServerKeygen(t.Context(), Request{Fleet: "strict", Connection: connection, CSR: challenged(t, newKey(t), challenge(binding(connection)))})
	made := one(t, answer, err)
	content, err := decode(key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(content)
	if err != nil || !private.(*ecdsa.PrivateKey).PublicKey.Equal(made.PublicKey) {
		t.Errorf("the key is not that of the certificate, %v", err)
	}
	_, _, err = w.ServerKeygen(t.Context(), Request{Fleet: "strict", Connection: connection,
		CSR: challenged(t, newKey(t), challenge(binding(connection)), attribute{oidDecryptKey, []string{"id"}})})
	refusedFor(t, err, api.CodeBadRequest, "csr.attributes")
	other := w.SIM(t, "devices")
	_, _, err = w.ServerKeygen(t.Context(), Request{Fleet: "devices", Connection: w.factory.device(pkix.Name{SerialNumber: other}), CSR: csr(t, x509.CertificateRequest{}, newKey(t))})
	fixture.Refused(t, err, api.CodeForbidden)
}

func TestTheCAsCertificatesAreTheRootAndTheIssuer(t *testing.T) {
	w := newWorld(t)
	answer, err := w.CACerts(t.Context(), "devices", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := certificates(t, answer)
	if len(all) != 2 || !all[0].Equal(w.CA.Root()) || !all[1].Equal(w.CA.Issuer()) {
		t.Errorf("%d certificates", len(all))
	}
	for line := range strings.Lines(string(answer)) {
		if len(line) > lineLength+1 {
			t.Errorf("a line of %d characters", len(line))
		}
	}
}

func TestTheAttributesSayWhatTheFleetWants(t *testing.T) {
	w := newWorld(t)
	for fleet, wants := range map[string]bool{"devices": false, "strict": true} {
		answer, err := w.CSRAttributes(t.Context(), fleet)
		if err != nil {
			t.Fatal(err)
		}
		content, err := decode(answer)
		if err != nil {
			t.Fatal(err)
		}
		var all []asn1.RawValue
		if _, err := asn1.Unmarshal(content, &all); err != nil {
			t.Fatal(err)
		}
		oid, _ := asn1.Marshal(oidChallengePassword)
		if has := bytes.Equal(all[0].FullBytes, oid); has != wants || len(all) < 2 {
			t.Errorf("%s: %x", fleet, content)
		}
	}
}
