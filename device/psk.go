package device

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/psktls"
)

// masterSecretSize is the size of a TLS 1.2 master secret, in bytes (RFC 5246, 8.1).
const masterSecretSize = 48

// ErrNoPSK says that the SIM holds no pre-shared key that can be used.
var ErrNoPSK = errors.New("the SIM holds no activated secret to derive keys from: run the onboarding first")

// ErrNoIdentity says that the SIM does not name the identity of its pre-shared key.
var ErrNoIdentity = errors.New("the SIM does not say under which identity servers know its secret, which another issuer or an older platform has put there")

// PSK is a pre-shared key in the SIM, for psktls. The SIM forms the premaster secret
// and derives from it: what leaves the SIM is the master secret of one session, or, in TLS
// 1.3, the early secret.
type PSK struct {
	device   *Device
	id       iotsafe.ID
	identity string
}

var _ psktls.Key = (*PSK)(nil)

// Identity is the identity under which servers know the key, as its label on the SIM names it
// (see [iotsafe.PSKLabel]); "" if it names none.
func (k *PSK) Identity() string { return k.identity }

// PSK finds the SIM's pre-shared key: the activated secret that keys can be derived from, and
// one that names its identity rather than one that does not. It is looked for once and kept
// until the SIM says that its store has changed, or refuses it.
func (d *Device) PSK(ctx context.Context) (*PSK, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.psk.get(d, func() (*PSK, error) { return d.findPSK(ctx) })
}

func (d *Device) findPSK(ctx context.Context) (*PSK, error) {
	objects, err := d.applet.Objects(ctx)
	if err != nil {
		return nil, err
	}
	var found *PSK
	for _, o := range objects {
		if o.Kind != iotsafe.SecretKey || !o.Active || o.Functions&iotsafe.KeyDerivation == 0 {
			continue
		}
		identity, onTrial := o.PSKIdentity()
		if onTrial != (d.only != nil) || onTrial && identity != d.only.Identity {
			continue
		}
		if found == nil || found.identity == "" && identity != "" {
			found = &PSK{device: d, id: o.ID, identity: identity}
		}
	}
	if found == nil {
		return nil, ErrNoPSK
	}
	return found, nil
}

// MasterSecret implements [psktls.Key] with COMPUTE PRF (IoT.05), which knows SHA-256 only.
func (k *PSK) MasterSecret(ctx context.Context, hash crypto.Hash, other []byte, label string, seed []byte) ([]byte, error) {
	if hash != crypto.SHA256 {
		return nil, fmt.Errorf("the SIM derives master secrets with SHA-256, not with %s: offer other cipher suites", hash)
	}
	if other == nil {
		return k.given(k.device.applet.PRFPSK(ctx, k.id, label, seed, masterSecretSize))
	}
	return k.given(k.device.applet.PRFPSKECDHE(ctx, k.id, other, label, seed, masterSecretSize))
}

// EarlySecret implements [psktls.Key] with COMPUTE HKDF (IoT.05).
func (k *PSK) EarlySecret(ctx context.Context, hash crypto.Hash) ([]byte, error) {
	h, ok := map[crypto.Hash]iotsafe.Hash{crypto.SHA256: iotsafe.SHA256, crypto.SHA384: iotsafe.SHA384}[hash]
	if !ok {
		return nil, fmt.Errorf("TLS 1.3 has no suite with %s", hash)
	}
	return k.given(k.device.applet.HKDFExtractSecret(ctx, h, k.id, nil))
}

// given passes on what the SIM has derived, and makes the key be looked for again if the SIM
// no longer derives from it.
func (k *PSK) given(secret []byte, err error) ([]byte, error) {
	if outdated(err) {
		k.device.Forget()
	}
	return secret, err
}

// PSKConfig returns a client configuration with the SIM's pre-shared key. It speaks TLS 1.2 with
// forward secrecy only: what the SIM gives for that opens one session and no other, while
// what it would give for TLS 1.3 is as good as the key to whoever takes the device over (see
// package psktls). identity is the name under which the server knows the key; empty stands for
// the one that the SIM names, and fails with [ErrNoIdentity] if it names none.
func (d *Device) PSKConfig(ctx context.Context, identity, serverName string) (*psktls.Config, error) {
	key, err := d.PSK(ctx)
	if err != nil {
		return nil, err
	}
	if identity == "" {
		identity = key.identity
	}
	if identity == "" {
		return nil, fmt.Errorf("SIM %s: %w", d.iccid, ErrNoIdentity)
	}
	config := &psktls.Config{
		Identity: []byte(identity), Key: key, MaxVersion: psktls.VersionTLS12,
		CipherSuites: []uint16{ // a SIM derives with SHA-256
			psktls.TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256,
			psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256,
			psktls.TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256,
		},
	}
	if net.ParseIP(serverName) == nil { // RFC 6066, 3: no addresses
		config.ServerName = serverName
	}
	config.Rand, err = d.configRand(ctx)
	return config, err
}
