package psktls

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"sync"
	"testing"
)

// watched is a KeyExchange in memory that counts, and fails where it is told.
type watched struct {
	make, derive, close error
	short               bool // secrets are

	mu                 sync.Mutex
	made, used, closed int
}

func (w *watched) Ephemeral(_ context.Context, group tls.CurveID) (EphemeralKey, error) {
	if w.make != nil {
		return nil, w.make
	}
	key, err := ephemeral(group, rand.Reader)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	return &watchedKey{memoryKey{key}, w}, err
}

type watchedKey struct {
	memoryKey
	*watched
}

func (k *watchedKey) HandshakeSecret(ctx context.Context, hash crypto.Hash, salt, peer []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used++
	if k.derive != nil {
		return nil, k.derive
	}
	secret, err := k.memoryKey.HandshakeSecret(ctx, hash, salt, peer)
	if k.short {
		secret = secret[1:]
	}
	return secret, err
}

func (k *watchedKey) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed++
	return k.watched.close
}

func TestEphemeralKeysMadeElsewhereServeThePSKToo(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	forClient, forServer := &watched{}, &watched{}
	client.KeyExchange, server.KeyExchange = forClient, forServer
	c, s := connected(t, client, server)
	echo(t, c, s, []byte("data"))
	for _, w := range []*watched{forClient, forServer} {
		if w.made != 1 || w.used != 1 || w.closed != 1 {
			t.Errorf("%d keys made, %d used, %d closed", w.made, w.used, w.closed)
		}
	}
	client.MinVersion = VersionTLS12
	if _, _, err, _ := handshakes(t, client, server); !errors.Is(err, ErrConfig) {
		t.Errorf("TLS 1.2: %v", err)
	}
}

func TestAFailureOfTheKeyExchangeEndsTheHandshakeAndLeavesNoKey(t *testing.T) {
	a := newAuthority(t)
	failed := errors.New("the SIM is gone")
	for name, w := range map[string]*watched{
		"making":   {make: failed},
		"deriving": {derive: failed},
		"closing":  {close: failed},
		"short":    {short: true},
	} {
		client, server := a.certified()
		client.KeyExchange = w
		_, _, err, _ := meet(t, client, server)
		if wantAlert(t, err, AlertInternalError, false); !errors.Is(err, failed) && !w.short {
			t.Errorf("%s: %v", name, err)
		}
		if w.made != w.closed {
			t.Errorf("%s: %d keys made, %d closed", name, w.made, w.closed)
		}
	}
	// Whatever ends a handshake ends the use of the key.
	for name, change := range map[string]func(c *Config, s *tls.Config){
		"the server's certificate": func(c *Config, _ *tls.Config) { c.ServerName = "other.example" },
		"the version":              func(_ *Config, s *tls.Config) { s.MinVersion, s.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
	} {
		client, server := a.certified()
		w := &watched{close: errors.New("a second failure")}
		client.KeyExchange = w
		change(client, server)
		if _, _, err, _ := meet(t, client, server); err == nil || errors.Is(err, w.close) || w.made != 1 || w.closed != 1 {
			t.Errorf("%s: %v, %d made, %d closed", name, err, w.made, w.closed)
		}
	}
	again, server := a.certified()
	stuck := &watched{close: failed}
	again.KeyExchange, server.CurvePreferences = stuck, []tls.CurveID{CurveP256} // which is asked for in a HelloRetryRequest
	if _, _, err, _ := meet(t, again, server); !errors.Is(err, failed) || stuck.made != 1 || stuck.closed != 1 {
		t.Errorf("a second key: %v, %d made, %d closed", err, stuck.made, stuck.closed)
	}
	client, _ := a.certified()
	w := &watched{}
	client.KeyExchange = w
	near, _ := pipe()
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if err := Client(near, client).HandshakeContext(ctx); !errors.Is(err, context.Canceled) || w.made != w.closed {
		t.Errorf("%v, %d made, %d closed", err, w.made, w.closed)
	}
}

func TestLeadingZerosOfTheSharedSecretAreKept(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.X25519()} {
		own, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for {
			peer, err := curve.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			shared, err := peer.ECDH(own.PublicKey())
			if err != nil {
				t.Fatal(err)
			}
			if shared[0] != 0 {
				continue
			}
			want, err := hkdf.Extract(crypto.SHA256.New, shared, []byte("salt"))
			got, wrong := memoryKey{own}.HandshakeSecret(t.Context(), crypto.SHA256, []byte("salt"), peer.PublicKey().Bytes())
			if err != nil || wrong != nil || !bytes.Equal(got, want) || len(shared) != 32 {
				t.Fatalf("%v, %v", err, wrong)
			}
			break
		}
	}
}
