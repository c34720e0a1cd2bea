package tunnel

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/psktls"
)

// ErrAllInSIM says that a tunnel cannot keep what AllInSIM promises.
var ErrAllInSIM = errors.New("all in the SIM is TLS 1.3 with certificates")

// checkAllInSIM refuses what would be done another way than promised.
func (o *Options) checkAllInSIM(f Forward) error {
	switch {
	case !o.AllInSIM:
		return nil
	case f.network() == UDP:
		return fmt.Errorf("%w, and UDP is carried by DTLS 1.2: use a tunnel of its own for it", ErrAllInSIM)
	case o.Identity != nil:
		return fmt.Errorf("%w, and an identity is for pre-shared keys: leave one of the two out", ErrAllInSIM)
	}
	return nil
}

// streamAllInSIM is psktls with certificates, whose ephemeral key is the SIM's too.
func (w *way) streamAllInSIM(ctx context.Context, a attempt) (stream, error) {
	config, err := a.sim.AllInSIMConfig(ctx, a.host)
	if err != nil {
		if !errors.Is(err, device.ErrNotAllInSIM) { // which no other try would change
			a.seen.note(err)
		}
		return nil, err
	}
	if w.Roots != nil {
		config.Certificates.Roots = w.Roots
	}
	config.Certificates.Client = a.certificate
	config.KeyExchange = watchedExchange{config.KeyExchange, a.seen}
	conn := psktls.Client(a.raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn, nil
}

// watchedExchange notes what goes wrong with ephemeral keys.
type watchedExchange struct {
	psktls.KeyExchange
	seen *watch
}

func (w watchedExchange) Ephemeral(ctx context.Context, group tls.CurveID) (psktls.EphemeralKey, error) {
	key, err := w.KeyExchange.Ephemeral(ctx, group)
	if err != nil {
		if ctx.Err() == nil { // else it was this side's patience that ended
			w.seen.note(err)
		}
		return nil, err
	}
	return watchedEphemeral{key, w.seen}, nil
}

type watchedEphemeral struct {
	psktls.EphemeralKey
	seen *watch
}

func (w watchedEphemeral) HandshakeSecret(ctx context.Context, hash crypto.Hash, salt, peer []byte) ([]byte, error) {
	secret, err := w.EphemeralKey.HandshakeSecret(ctx, hash, salt, peer)
	if err != nil && ctx.Err() == nil {
		w.seen.note(err)
	}
	return secret, err
}

func (w watchedEphemeral) Close() error {
	err := w.EphemeralKey.Close()
	if err != nil {
		w.seen.note(err)
	}
	return err
}
