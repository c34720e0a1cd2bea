package device

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/simroot/simroot/device/internal/fixture"
)

// generated is a SIM with a fresh key and no certificate.
const generated = `keys:
- {private: "01", public: "02", label: A, type: p256, functions: [sign, generate], signatures: [ecdsa], hashes: [sha256], fresh: true}
`

func TestOpenSSLTakesTheCertificateRequest(t *testing.T) {
	d := opened(t, fixture.NewSIM(t, generated))
	request, err := d.CertificateRequest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	openssl := exec.CommandContext(t.Context(), "openssl", "req", "-inform", "DER", "-verify", "-noout", "-subject", "-nameopt", "RFC2253")
	openssl.Stdin = bytes.NewReader(request)
	said, err := openssl.CombinedOutput()
	if err != nil || !bytes.Contains(said, []byte("verify OK")) {
		t.Fatalf("%s%v; install openssl if it is missing", said, err)
	}
	for _, part := range []string{"CN=" + string(fixture.ICCID), "serialNumber=" + string(fixture.ICCID)} {
		if !bytes.Contains(said, []byte(part)) {
			t.Errorf("no %s in %s", part, said)
		}
	}
	parsed, err := x509.ParseCertificateRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := d.Applet().PublicKey(t.Context(), "\x02"); err != nil || !key.Equal(parsed.PublicKey) {
		t.Errorf("the request is for another key: %v", err)
	}
}

func TestARequestIsForTheCredentialsKeyIfThereIsOne(t *testing.T) {
	ca := fixture.NewCA(t)
	d := (&watchedCard{Card: ca.SIMWith(strings.TrimPrefix(strings.ReplaceAll(strings.ReplaceAll(generated, `"01"`, `"21"`), `"02"`, `"22"`), "keys:\n"))}).open(t)
	c, err := d.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request, err := d.CertificateRequest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificateRequest(request)
	if err != nil || !publicKey(c).Equal(parsed.PublicKey) || parsed.CheckSignature() != nil {
		t.Errorf("%v", err)
	}
}

func TestASIMWithoutAKeySaysSo(t *testing.T) {
	d := opened(t, fixture.NewSIM(t, strings.ReplaceAll(generated, ", fresh: true", "")))
	if _, err := d.CertificateRequest(t.Context()); !errors.Is(err, ErrNoKey) {
		t.Errorf("%v", err)
	}
}

func TestAnotherJOSETakesTheTokens(t *testing.T) {
	d := opened(t, fixture.NewSIM(t, generated))
	signer, err := d.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"aud": "project", "iat": 1, "exp": 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // r and s have zeros in front now and then
		token, err := signer.JWS(map[string]any{"typ": "JWT", "kid": "sim"}, claims)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := parsed.Verify(signer.Public().(*ecdsa.PublicKey))
		if err != nil || !bytes.Equal(payload, claims) {
			t.Fatalf("%s, %v", payload, err)
		}
		if head := parsed.Signatures[0].Protected; head.KeyID != "sim" || head.Algorithm != "ES256" || head.ExtraHeaders["typ"] != "JWT" {
			t.Errorf("%+v", head)
		}
	}
	if signature, err := signer.SignES256([]byte("text")); err != nil || len(signature) != 64 {
		t.Errorf("%d bytes, %v", len(signature), err)
	}
	if _, err := signer.JWS(map[string]any{"alg": "none"}, claims); err == nil {
		t.Error("a header with another algorithm was signed")
	}
}
