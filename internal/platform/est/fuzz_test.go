package est

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"testing"

	"github.com/simroot/simroot/api"
)

func sum(b []byte) []byte {
	digest := sha256.Sum256(b)
	return digest[:]
}

// FuzzRequest holds the reading of requests to two laws: whatever comes is a request or a
// refusal of the client's doing, and a request that is read proves possession of its key.
func FuzzRequest(f *testing.F) {
	key := newKey(f)
	f.Add(csr(f, x509.CertificateRequest{}, key))
	f.Add(csr(f, x509.CertificateRequest{Subject: pkix.Name{CommonName: "8988211000000000017", SerialNumber: "8988211000000000017"}, DNSNames: []string{"a.example"}}, key))
	f.Add(challenged(f, key, challenge("text")))
	f.Add(challenged(f, key, attribute{oidDecryptKey, []string{"id"}}, attribute{oidChallengePassword, nil}))
	f.Add([]byte("MIH\r\n =="))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseRequest(body)
		var refusal *api.Error
		switch {
		case err != nil && (!errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest):
			t.Errorf("%v is no refusal of a bad request", err)
		case err == nil && r.key == nil:
			t.Error("a request without a key")
		case err == nil:
			_ = r.speaksOf("8988211000000000017")
		}
	})
}

// FuzzBase64 holds the decoder to what the encoder wrote, however it is broken into lines.
func FuzzBase64(f *testing.F) {
	f.Add([]byte("some text"), uint8(3))
	f.Add(make([]byte, 200), uint8(64))
	f.Fuzz(func(t *testing.T, content []byte, every uint8) {
		var broken []byte
		for i, c := range encode(content) {
			if every > 0 && i%int(every) == 0 {
				broken = append(broken, "\r\n\t "...)
			}
			broken = append(broken, c)
		}
		got, err := decode(broken)
		if err != nil || string(got) != string(content) {
			t.Errorf("%x became %x: %v", content, got, err)
		}
	})
}
