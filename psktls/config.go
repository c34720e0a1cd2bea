package psktls

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Versions of TLS that this package speaks.
const (
	VersionTLS12 uint16 = tls.VersionTLS12
	VersionTLS13 uint16 = tls.VersionTLS13
)

// Groups for the ephemeral key exchange.
const (
	X25519    = tls.X25519
	CurveP256 = tls.CurveP256
)

// MaxIdentity is the length in bytes of the longest identity that a client may present.
const MaxIdentity = 1024

// Config is what a [Client] or [Server] needs to know. It may be shared by any number of
// connections, and must not be changed once it is in use.
type Config struct {
	// Identity is the name under which the server knows Key. Client only: 1 to MaxIdentity
	// bytes. It is sent in the clear.
	Identity []byte

	// Key is the client's key.
	Key Key

	// GetKey finds the key of a client. Server only. The identity comes from a stranger: any
	// bytes, of any length up to 64 KiB. An identity without a key is answered with
	// [ErrUnknownIdentity], or no key and no error; every other error ends the handshake with
	// internal_error. A key beside ErrUnknownIdentity stands in for the one that there is not:
	// the handshake fails, having cost what that key costs; nobody must have its secret. A client
	// of TLS 1.3 may present several identities; at most four are looked up.
	GetKey func(ctx context.Context, identity []byte) (Key, error)

	// Hash is the one hash that the keys are used with in TLS 1.3 (RFC 8446, 4.2.11), and so
	// decides which of its suites can be had: SHA-256, which zero means, or SHA-384. It
	// does not concern TLS 1.2.
	Hash crypto.Hash

	// AllowPSKOnly allows key exchanges without forward secrecy: plain PSK suites in TLS 1.2,
	// psk_ke in TLS 1.3. They spare a constrained device two operations on an elliptic curve,
	// and whoever learns the PSK later can read what was recorded. Those with forward secrecy
	// remain preferred.
	AllowPSKOnly bool

	// RequireExtendedMasterSecret refuses peers that do not know RFC 7627 in TLS 1.2. It is
	// used with all others anyway.
	RequireExtendedMasterSecret bool

	// CipherSuites are the suites to use, best first; nil means all that AllowPSKOnly allows.
	// The server's order decides.
	CipherSuites []uint16

	// Curves are the groups to use, best first: X25519 and CurveP256, which nil means.
	Curves []tls.CurveID

	// MinVersion and MaxVersion bound the versions; zero means VersionTLS12 and VersionTLS13.
	MinVersion, MaxVersion uint16

	// NextProtos are the application protocols for ALPN (RFC 7301), best first. A server that has some
	// refuses a client that offers only others.
	NextProtos []string

	// ServerName is the host name that a client asks for (RFC 6066, 3), if not empty. With a
	// pre-shared key it is not checked against anything: who has the key is the server. With
	// Certificates it is what the server's certificate must be for, and may be an IP address, which
	// is checked and not sent.
	ServerName string

	// Certificates, if set, authenticate both sides in place of a pre-shared key: Identity and Key
	// are empty then. Client and TLS 1.3 only.
	Certificates *Certificates

	// KeyExchange makes the ephemeral keys of TLS 1.3, and only those: with it, no other version is
	// spoken. nil means keys in memory. Curves must be groups that it knows.
	KeyExchange KeyExchange

	// KeyLogWriter, for debugging, receives each session's secrets in NSS format, which lets Wireshark
	// and whoever reads it decrypt everything. Writes are not synchronised between connections.
	KeyLogWriter io.Writer

	// Rand is the source of randomness; nil means crypto/rand.
	Rand io.Reader
}

// ErrConfig is what errors about an unusable Config wrap.
var ErrConfig = errors.New("psktls: unusable Config")

// settings are a Config checked, with its defaults in place.
type settings struct {
	*Config
	hash     crypto.Hash
	suites   []*suite
	curves   []tls.CurveID
	min, max uint16
	rand     io.Reader
	exchange KeyExchange
}

// allows says whether a version may be spoken.
func (s *settings) allows(version uint16) bool { return s.min <= version && version <= s.max }

// settle checks the configuration for one role.
func (c *Config) settle(client bool) (*settings, error) {
	if c == nil {
		return nil, fmt.Errorf("%w: nil", ErrConfig)
	}
	s := &settings{Config: c, hash: c.Hash, curves: c.Curves, min: c.MinVersion, max: c.MaxVersion, rand: c.Rand}
	if s.hash == 0 {
		s.hash = crypto.SHA256
	}
	if s.min == 0 && c.Certificates == nil && c.KeyExchange == nil {
		s.min = VersionTLS12
	} else if s.min == 0 {
		s.min = VersionTLS13
	}
	if s.max == 0 {
		s.max = VersionTLS13
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.curves == nil {
		s.curves = defaultCurves
	}
	if s.exchange = c.KeyExchange; s.exchange == nil {
		s.exchange = memoryExchange{s}
	}
	if err := s.checkCertificates(client); err != nil {
		return nil, err
	}
	psk := client && c.Certificates == nil
	switch {
	case psk && (len(c.Identity) == 0 || len(c.Identity) > MaxIdentity):
		return nil, fmt.Errorf("%w: Identity has %d bytes: a client needs one of 1 to %d", ErrConfig, len(c.Identity), MaxIdentity)
	case psk && c.Key == nil:
		return nil, fmt.Errorf("%w: a client needs a Key", ErrConfig)
	case !client && c.GetKey == nil:
		return nil, fmt.Errorf("%w: a server needs GetKey", ErrConfig)
	case s.hash != crypto.SHA256 && s.hash != crypto.SHA384:
		return nil, fmt.Errorf("%w: Hash %v: SHA256 and SHA384 are possible", ErrConfig, c.Hash)
	case s.KeyExchange != nil && s.min < VersionTLS13:
		return nil, fmt.Errorf("%w: MinVersion: KeyExchange serves TLS 1.3 only", ErrConfig)
	case s.min < VersionTLS12 || s.max > VersionTLS13 || s.min > s.max:
		return nil, fmt.Errorf("%w: versions %#x to %#x: only TLS 1.2 and 1.3 are spoken", ErrConfig, s.min, s.max)
	case len(c.ServerName) > 255:
		return nil, fmt.Errorf("%w: ServerName is longer than 255 bytes", ErrConfig)
	}
	total := 0
	for _, p := range c.NextProtos {
		if total += 1 + len(p); len(p) == 0 || len(p) > 255 || total > 4096 {
			return nil, fmt.Errorf("%w: NextProtos: a protocol has 1 to 255 bytes, all together 4096", ErrConfig)
		}
	}
	for _, curve := range s.curves {
		if !slices.Contains(defaultCurves, curve) {
			return nil, fmt.Errorf("%w: Curves: %v: X25519 and CurveP256 are possible", ErrConfig, curve)
		}
	}
	return s, s.chooseSuites()
}

var defaultCurves = []tls.CurveID{X25519, CurveP256}

// chooseSuites keeps the suites that can be used with everything else that is configured.
func (s *settings) chooseSuites() error {
	wanted := suites
	if s.CipherSuites != nil {
		wanted = nil
		for _, id := range s.CipherSuites {
			suite := suiteByID(id)
			if suite == nil {
				return fmt.Errorf("%w: CipherSuites: %#04x is no suite of this package", ErrConfig, id)
			}
			if !suite.ecdhe && !s.AllowPSKOnly {
				return fmt.Errorf("%w: CipherSuites: %s has no forward secrecy: leave it out or set AllowPSKOnly", ErrConfig, suite.name)
			}
			wanted = append(wanted, suite)
		}
	}
	for _, suite := range wanted {
		usable := s.allows(suite.version) && (suite.ecdhe || s.AllowPSKOnly) && (suite.version == VersionTLS12 || suite.hash == s.hash)
		if usable && (!s.needsCurve(suite) || len(s.curves) > 0) {
			s.suites = append(s.suites, suite)
		}
	}
	// A version without a suite is not spoken.
	has := func(version uint16) bool {
		return slices.ContainsFunc(s.suites, func(u *suite) bool { return u.version == version })
	}
	if !has(VersionTLS12) {
		s.min = max(s.min, VersionTLS13)
	}
	if !has(VersionTLS13) {
		s.max = min(s.max, VersionTLS12)
	}
	if s.min > s.max {
		return fmt.Errorf("%w: no cipher suite is left between versions, CipherSuites, Curves, Hash and AllowPSKOnly", ErrConfig)
	}
	return nil
}

// needsCurve says whether the suite cannot do without an ephemeral key exchange.
func (s *settings) needsCurve(u *suite) bool {
	return u.ecdhe && (u.version == VersionTLS12 || !s.AllowPSKOnly)
}
