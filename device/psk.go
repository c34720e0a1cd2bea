package device

import (
	"context"
	"crypto"
	"fmt"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/psktls"
)

// masterSecretSize is the size of a TLS 1.2 master secret, in bytes (RFC 5246, 8.1).
const masterSecretSize = 48

// PSK is a pre-shared key in the SIM, for psktls. The SIM forms the premaster secret
// and derives from it: what leaves the SIM is the master secret of one session, or, in TLS
// 1.3, the early secret.
type PSK struct {
	applet *iotsafe.Applet
	id     iotsafe.ID
}

var _ psktls.Key = (*PSK)(nil)

// PSK finds the SIM's pre-shared key: the activated secret that keys can be derived from.
func (d *Device) PSK(ctx context.Context) (*PSK, error) {
	objects, err := d.applet.Objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("SIM %s: %w", d.iccid, err)
	}
	for _, o := range objects {
		if o.Kind == iotsafe.SecretKey && o.Active && o.Functions&iotsafe.KeyDerivation != 0 {
			return &PSK{applet: d.applet, id: o.ID}, nil
		}
	}
	return nil, fmt.Errorf("SIM %s holds no activated secret to derive keys from: run the onboarding first", d.iccid)
}

// MasterSecret implements [psktls.Key] with COMPUTE PRF (IoT.05), which knows SHA-256 only.
func (k *PSK) MasterSecret(ctx context.Context, hash crypto.Hash, other []byte, label string, seed []byte) ([]byte, error) {
	if hash != crypto.SHA256 {
		return nil, fmt.Errorf("the SIM derives master secrets with SHA-256, not with %s: offer other cipher suites", hash)
	}
	if other == nil {
		return k.applet.PRFPSK(ctx, k.id, label, seed, masterSecretSize)
	}
	return k.applet.PRFPSKECDHE(ctx, k.id, other, label, seed, masterSecretSize)
}

// EarlySecret implements [psktls.Key] with COMPUTE HKDF (IoT.05).
func (k *PSK) EarlySecret(ctx context.Context, hash crypto.Hash) ([]byte, error) {
	h, ok := map[crypto.Hash]iotsafe.Hash{crypto.SHA256: iotsafe.SHA256, crypto.SHA384: iotsafe.SHA384}[hash]
	if !ok {
		return nil, fmt.Errorf("TLS 1.3 has no suite with %s", hash)
	}
	return k.applet.HKDFExtractSecret(ctx, h, k.id, nil)
}
