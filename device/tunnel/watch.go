package tunnel

import (
	"context"
	"crypto"
	"crypto/tls"
	"io"
	"sync"

	"github.com/simroot/simroot/psktls"
)

// watch notes the first time that the SIM fails in a handshake, so that this is not taken for
// a fault of the server's.
type watch struct {
	mu    sync.Mutex
	first error
}

func (w *watch) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = err
	}
}

func (w *watch) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

// certificate is the SIM's, with a watched key.
func (a attempt) certificate(ctx context.Context) (*tls.Certificate, error) {
	certificate, err := a.sim.Certificate(ctx)
	if err != nil {
		a.seen.note(err)
		return nil, err
	}
	certificate.PrivateKey = watchedSigner{certificate.PrivateKey.(crypto.Signer), a.seen}
	return certificate, nil
}

type watchedSigner struct {
	crypto.Signer
	seen *watch
}

func (w watchedSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := w.Signer.Sign(rand, digest, opts)
	if err != nil {
		w.seen.note(err)
	}
	return signature, err
}

// pskConfig is for the SIM's PSK, watched.
func (a attempt) pskConfig(ctx context.Context, identity string) (*psktls.Config, error) {
	config, err := a.sim.PSKConfig(ctx, identity, a.host)
	if err != nil {
		a.seen.note(err)
		return nil, err
	}
	config.Key = watchedKey{config.Key, a.seen}
	return config, nil
}

type watchedKey struct {
	psktls.Key
	seen *watch
}

func (w watchedKey) MasterSecret(ctx context.Context, hash crypto.Hash, other []byte, label string, seed []byte) ([]byte, error) {
	secret, err := w.Key.MasterSecret(ctx, hash, other, label, seed)
	if err != nil {
		w.seen.note(err)
	}
	return secret, err
}
