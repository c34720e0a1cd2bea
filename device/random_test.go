package device

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/psktls"
)

// zeros is a generator as bad as can be.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// steady is a SIM's generator that always gives the same, until it fails.
type steady struct {
	value byte
	asked int
	fail  error
}

func (s *steady) Random(_ context.Context, n int) ([]byte, error) {
	s.asked++
	if s.fail != nil {
		return nil, s.fail
	}
	return bytes.Repeat([]byte{s.value}, n), nil
}

func newMixed(t *testing.T, host io.Reader, sim *steady) *mixed {
	t.Helper()
	m := &mixed{host: host, sim: sim.Random}
	if err := m.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWithABadHostTheSIMAloneMakesTheDifference(t *testing.T) {
	one, other := newMixed(t, zeros{}, &steady{value: 1}), newMixed(t, zeros{}, &steady{value: 2})
	seen := map[[32]byte]bool{}
	for range 3 * seedReads {
		for _, m := range []*mixed{one, other} {
			var b [32]byte
			if _, err := io.ReadFull(m, b[:]); err != nil {
				t.Fatal(err)
			}
			if seen[b] {
				t.Fatal("the same bytes came twice")
			}
			seen[b] = true
		}
	}
}

func TestWithABadSIMTheHostsBytesAreNotSpoiled(t *testing.T) {
	fixed := bytes.Repeat([]byte{0xA5, 0x5A, 0x00, 0xFF}, 3000)
	got := make([]byte, len(fixed)) // in several pads
	if _, err := io.ReadFull(newMixed(t, bytes.NewReader(fixed), &steady{}), got); err != nil {
		t.Fatal(err)
	}
	// Exclusive or with what depends on the SIM alone is a one-to-one map of the host's bytes.
	seed, err := hkdf.Extract(sha256.New, make([]byte, seedSize), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i*maxPad < len(got); i++ {
		part := got[i*maxPad : min((i+1)*maxPad, len(got))]
		pad, err := hkdf.Expand(sha256.New, seed, string(binary.BigEndian.AppendUint64([]byte("simroot random "), uint64(i+1))), len(part))
		if err != nil {
			t.Fatal(err)
		}
		subtle.XORBytes(part, part, pad)
	}
	if !bytes.Equal(got, fixed) {
		t.Error("host and SIM are not combined by exclusive or")
	}
}

func TestTheSIMIsAskedOnceInManyReads(t *testing.T) {
	sim := &steady{value: 1}
	m := newMixed(t, zeros{}, sim)
	read := func(n int) {
		t.Helper()
		for range n {
			if _, err := m.Read(make([]byte, 8)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if read(seedReads); sim.asked != 1 {
		t.Errorf("%d times in %d reads", sim.asked, seedReads)
	}
	before := bytes.Clone(m.seed)
	if read(1); sim.asked != 2 || bytes.Equal(before, m.seed) {
		t.Errorf("%d times after that", sim.asked)
	}
	// A SIM that is away takes nothing from what it has given.
	sim.fail = errors.New("unplugged")
	before = bytes.Clone(m.seed)
	if read(2 * seedReads); sim.asked != 4 || !bytes.Equal(before, m.seed) {
		t.Errorf("asked %d times, and the seed changed", sim.asked)
	}
}

func TestNothingIsGivenWithoutTheSIMOrWithoutTheHost(t *testing.T) {
	sim := &watchedCard{Card: fixture.NewCA(t).GoodSIM()}
	d := sim.open(t, WithSIMRandom())
	if _, err := d.Credential(t.Context()); err != nil {
		t.Fatal(err)
	}
	sim.fail = errors.New("unplugged")
	if _, err := d.Rand(t.Context()); !errors.Is(err, sim.fail) {
		t.Errorf("without the SIM: %v", err)
	}
	if _, err := d.TLSConfig(t.Context()); err == nil {
		t.Error("a configuration was made without the SIM's random bytes")
	}
	b := []byte{1, 2, 3, 4}
	if n, err := newMixed(t, bytes.NewReader(b[:2]), &steady{}).Read(b); n != 0 || err == nil {
		t.Errorf("without the host: %d bytes, %v", n, err)
	}
}

func TestManyMayReadAtOnce(t *testing.T) {
	r, err := (&watchedCard{Card: fixture.NewCA(t).GoodSIM()}).open(t).Rand(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 2 * seedReads {
				if _, err := r.Read(make([]byte, 40)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// metered counts the bytes that somebody reads.
type metered struct {
	io.Reader
	n int
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.n += n
	return n, err
}

func TestWhatTheMixReachesInCryptoTLS(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serveTLS(t, ca.ServerConfig())
	d := (&watchedCard{Card: ca.GoodSIM()}).open(t, WithSIMRandom())
	taken := func() int {
		t.Helper()
		config, err := d.TLSConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, mixes := config.Rand.(*mixed); !mixes {
			t.Fatalf("Rand is a %T", config.Rand)
		}
		meter := &metered{Reader: config.Rand}
		config.Rand, config.CurvePreferences = meter, []tls.CurveID{tls.X25519}
		if _, _, err := visit(t, server, config); err != nil {
			t.Fatal(err)
		}
		return meter.n
	}
	if n := taken(); n != 64 {
		t.Errorf("crypto/tls took %d bytes: want 64, random value and session id", n)
	}
	t.Setenv("GODEBUG", "cryptocustomrand=1")
	if n := taken(); n < 96 {
		t.Errorf("with cryptocustomrand=1 it took %d bytes: want 96, an X25519 key too", n)
	}
}

func TestWhatTheMixReachesInPSKTLS(t *testing.T) {
	d := (&watchedCard{Card: fixture.PSKSIM(t, make([]byte, 32))}).open(t, WithSIMRandom())
	config, err := d.PSKConfig(t.Context(), "meter 1", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, mixes := config.Rand.(*mixed); !mixes {
		t.Fatalf("Rand is a %T", config.Rand)
	}
	meter := &metered{Reader: config.Rand}
	config.Rand = meter
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	server := psktls.Server(there, &psktls.Config{GetKey: func(context.Context, []byte) (psktls.Key, error) {
		return psktls.SecretKey(make([]byte, 32)), nil
	}})
	done := make(chan error, 1)
	go func() { done <- server.HandshakeContext(t.Context()) }()
	if err := psktls.Client(here, config).HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if meter.n < 64 {
		t.Errorf("psktls took %d bytes: want 64, random value and ephemeral key", meter.n)
	}
}

func TestWithoutTheOptionTheSIMIsNotAsked(t *testing.T) {
	config, err := (&watchedCard{Card: fixture.NewCA(t).GoodSIM()}).open(t).TLSConfig(t.Context())
	if err != nil || config.Rand != nil {
		t.Errorf("Rand is a %T, %v", config.Rand, err)
	}
}
