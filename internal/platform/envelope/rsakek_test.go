package envelope_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"testing"

	"crypto"

	"github.com/simroot/simroot/internal/platform/envelope"
)

// oldService is a key service that knows OAEP with SHA-1 only.
type oldService struct{ *rsa.PrivateKey }

func (s oldService) Decrypt(random io.Reader, sealed []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	if o, ok := opts.(*rsa.OAEPOptions); !ok || o.Hash != crypto.SHA1 {
		return nil, errors.New("CKR_ARGUMENTS_BAD")
	}
	return s.PrivateKey.Decrypt(random, sealed, opts)
}

// otherKey decrypts with another key than it shows.
type otherKey struct{ *rsa.PrivateKey }

func (k otherKey) Public() crypto.PublicKey {
	fresh, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return fresh.Public()
}

func TestAKeyServiceWrapsDataKeysWithTheHashThatItKnows(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range map[string]crypto.Decrypter{"SHA-256": key, "SHA-1 only": oldService{key}} {
		kek, err := envelope.NewRSAKEK(service)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e := envelope.New(kek)
		sealed, err := e.Seal(t.Context(), "sim 1", []byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Open(t.Context(), "sim 1", sealed); err != nil || string(got) != "secret" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if _, err := e.Open(t.Context(), "sim 2", sealed); err == nil {
			t.Errorf("%s: it opens for another record", name)
		}
	}
	if _, err := envelope.NewRSAKEK(otherKey{key}); err == nil {
		t.Error("a service that cannot decrypt what is encrypted to it is taken into use")
	}
}

func TestAnEnvelopeMovesToAnotherKeyAndNeedsTheOldOneNoMore(t *testing.T) {
	old, _ := newKEK(t)
	next, _ := newKEK(t)
	e := envelope.New(old)
	sealed, err := e.Seal(t.Context(), "sim 1", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	e.Use(next, old)
	moved, err := e.Rewrap(t.Context(), "sim 1", sealed)
	if err != nil || bytes.Equal(moved, sealed) {
		t.Fatal(err)
	}
	if _, err := e.Rewrap(t.Context(), "sim 2", sealed); err == nil {
		t.Error("it moves as another record's")
	}
	e.Use(next)
	if got, err := e.Open(t.Context(), "sim 1", moved); err != nil || string(got) != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
	var unknown *envelope.UnknownKEKError
	if _, err := e.Open(t.Context(), "sim 1", sealed); !errors.As(err, &unknown) || unknown.ID != old.ID() {
		t.Errorf("an envelope under a key that is not there: %v", err)
	}
}
