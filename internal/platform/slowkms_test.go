package platform

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/pem"
	"io"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.step.sm/crypto/kms/apiv1"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// slowKMS is a key service that answers when it is let.
type slowKMS struct {
	signer    *ecdsa.PrivateKey
	decrypter *rsa.PrivateKey

	mu      sync.Mutex
	hold    chan struct{} // nil: it answers at once
	waiting chan struct{} // told of each that waits
}

func newSlowKMS(t *testing.T) *slowKMS {
	t.Helper()
	k := &slowKMS{waiting: make(chan struct{}, 100)}
	var err1, err2 error
	k.signer, err1 = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.decrypter, err2 = rsa.GenerateKey(rand.Reader, 2048)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	apiv1.Register(apiv1.SoftKMS, func(context.Context, apiv1.Options) (apiv1.KeyManager, error) { return k, nil })
	return k
}

// holdUp makes it wait from now on, until goOn.
func (k *slowKMS) holdUp() (goOn func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hold = make(chan struct{})
	return sync.OnceFunc(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		close(k.hold)
		k.hold = nil
	})
}

func (k *slowKMS) wait() {
	k.mu.Lock()
	hold := k.hold
	k.mu.Unlock()
	if hold != nil {
		k.waiting <- struct{}{}
		<-hold
	}
}

func (k *slowKMS) GetPublicKey(r *apiv1.GetPublicKeyRequest) (crypto.PublicKey, error) {
	if r.Name == "softkms:kek" {
		return k.decrypter.Public(), nil
	}
	return k.signer.Public(), nil
}

func (k *slowKMS) CreateKey(*apiv1.CreateKeyRequest) (*apiv1.CreateKeyResponse, error) {
	return nil, apiv1.NotImplementedError{}
}

func (k *slowKMS) CreateSigner(*apiv1.CreateSignerRequest) (crypto.Signer, error) {
	return slowSigner{k}, nil
}

func (k *slowKMS) CreateDecrypter(*apiv1.CreateDecrypterRequest) (crypto.Decrypter, error) {
	return slowDecrypter{k}, nil
}

func (k *slowKMS) Close() error { return nil }

type slowSigner struct{ *slowKMS }

func (s slowSigner) Public() crypto.PublicKey { return s.signer.Public() }
func (s slowSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.wait()
	return s.signer.Sign(r, digest, o)
}

type slowDecrypter struct{ *slowKMS }

func (s slowDecrypter) Public() crypto.PublicKey { return s.decrypter.Public() }
func (s slowDecrypter) Decrypt(r io.Reader, text []byte, o crypto.DecrypterOpts) ([]byte, error) {
	s.wait()
	return s.decrypter.Decrypt(r, text, o)
}

// While the key service takes its time over a write that has a key, all others are carried out.
func TestASlowKeyServiceHoldsUpNoOtherWrite(t *testing.T) {
	k := newSlowKMS(t)
	dir, secret := newFolder(t, Options{CAKey: "softkms:ca", KEK: "softkms:kek"})
	p, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, url, _ := serveAt(t, p, dir, secret)
	csr, key := fixture.Request(t)
	invited, err := client.InviteAppServer(t.Context(), api.Invitation{Name: "broker"})
	if err != nil {
		t.Fatal(err)
	}
	registered, err := client.RegisterAppServer(t.Context(), api.Registration{Token: invited.Token, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	roots, err := api.LoadRoots(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := pem.Decode([]byte(registered.Chain))
	server, err := api.NewClient(url, api.ClientOptions{RootCAs: roots, Certificate: func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{leaf.Bytes}, PrivateKey: key}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	certify := func(ctx context.Context) (any, error) {
		return client.RequestServerCertificate(ctx, api.ServerRequest{Names: []string{"broker.example"}, CSR: csr})
	}
	var certified any
	for _, slow := range []struct {
		what string
		do   func(context.Context) (any, error)
	}{
		{"certify", certify},
		{"renew", func(ctx context.Context) (any, error) { return server.RenewAppServer(ctx) }},
		{"repeat", func(ctx context.Context) (any, error) { // its answer has to be decrypted
			again, err := certify(api.WithIdempotencyKey(ctx, "certify"))
			if !reflect.DeepEqual(again, certified) {
				t.Errorf("the repetition was answered %v, want %v", again, certified)
			}
			return nil, err
		}},
	} {
		goOn, done := k.holdUp(), make(chan error, 1)
		go func() {
			answer, err := slow.do(api.WithIdempotencyKey(t.Context(), slow.what))
			if slow.what == "certify" {
				certified = answer
			}
			done <- err
		}()
		select {
		case <-k.waiting:
		case err := <-done:
			t.Fatalf("%s: the key service was not asked: %v", slow.what, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for _, name := range []string{"", slow.what + "-fleet"} {
			fleet := api.Fleet{Name: slow.what + name, Profile: api.Profile{Type: api.CertificateType}}
			if name != "" {
				ctx = api.WithIdempotencyKey(ctx, name)
			}
			if _, err := client.CreateFleet(ctx, fleet); err != nil {
				t.Errorf("%s holds up others: %v", slow.what, err)
			}
		}
		cancel()
		goOn()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", slow.what, err)
		}
	}
}
