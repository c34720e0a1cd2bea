package device

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// WithSIMRandom mixes random bytes of the SIM into the randomness of connections, for hosts
// whose own generator is doubted: fresh after a flash, cloned, without a clock.
//
// What it reaches is up to the stack:
//
//   - psktls, TLS and DTLS ([Device.PSKConfig]): everything, the ephemeral keys too.
//   - crypto/tls ([Device.TLSConfig]): the client's random value and session id. Since Go 1.26
//     ephemeral keys come from the host alone (crypto/tls passes its reader on, crypto/ecdh
//     ignores it); with GODEBUG=cryptocustomrand=1 those on NIST curves and X25519 are mixed too,
//     the ML-KEM half of a hybrid key never.
//   - pion/dtls ([Device.DTLSOptions]): the client's random value.
//   - signatures of the SIM: it makes their random numbers itself, with or without this.
func WithSIMRandom() Option {
	return func(o *options) { o.simRandom = true }
}

// Rand returns a reader that mixes random bytes of the SIM with the host's. It is safe for
// concurrent use.
//
// Every byte is one of crypto/rand combined by exclusive or with one that is derived from 32
// bytes of the SIM (HKDF-Expand with SHA-256, RFC 5869): whoever would guess it has to know both
// sources. The result is never weaker than the host's, whatever the SIM answers.
//
// The SIM is asked here, and it is an error if it does not answer: this never falls back to
// the host alone. Later it is asked again once in 64 reads, for at most two seconds, and
// the answer is added to what was there before. If it does not answer then, what it has given
// already goes on serving, so that a live connection does not die of a SIM that is away.
func (d *Device) Rand(ctx context.Context) (io.Reader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.random != nil {
		return d.random, nil
	}
	m := &mixed{host: rand.Reader, sim: d.applet.Random}
	if err := m.renew(ctx); err != nil {
		return nil, fmt.Errorf("SIM %s: random bytes to mix with the host's: %w", d.iccid, err)
	}
	d.random = m
	return m, nil
}

// configRand is what a configuration's Rand is set to: nil stands for the host's.
func (d *Device) configRand(ctx context.Context) (io.Reader, error) {
	if !d.simRandom {
		return nil, nil
	}
	return d.Rand(ctx)
}

const (
	seedSize  = sha256.Size
	seedReads = 64              // that one seed serves
	seedTime  = 2 * time.Second // that a new one may take
	maxPad    = 4096            // bytes derived at once
)

// mixed is the exclusive or of the host's random bytes and of a pad out of the SIM's.
type mixed struct {
	host io.Reader
	sim  func(ctx context.Context, n int) ([]byte, error)

	mu    sync.Mutex
	seed  []byte
	reads int    // since the SIM was last asked
	pads  uint64 // that were made, each with a number of its own
}

// renew adds fresh bytes of the SIM to the seed.
func (m *mixed) renew(ctx context.Context) error {
	m.reads = 0
	fresh, err := m.sim(ctx, seedSize)
	if err != nil {
		return err
	}
	seed, err := hkdf.Extract(sha256.New, fresh, m.seed)
	if err != nil {
		return err
	}
	m.seed = seed
	return nil
}

// Read fills p, or fails if the host's generator does.
func (m *mixed) Read(p []byte) (int, error) {
	if n, err := io.ReadFull(m.host, p); err != nil {
		clear(p[:n])
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reads == seedReads {
		ctx, cancel := context.WithTimeout(context.Background(), seedTime)
		_ = m.renew(ctx) // see Device.Rand
		cancel()
	}
	m.reads++
	for rest := p; len(rest) > 0; {
		part := rest[:min(len(rest), maxPad)]
		rest = rest[len(part):]
		m.pads++
		pad, err := hkdf.Expand(sha256.New, m.seed, string(binary.BigEndian.AppendUint64([]byte("simroot random "), m.pads)), len(part))
		if err != nil {
			clear(p)
			return 0, err
		}
		subtle.XORBytes(part, part, pad)
	}
	return len(p), nil
}
