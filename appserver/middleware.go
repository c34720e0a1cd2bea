package appserver

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/api"
)

// Options configures [Open].
type Options struct {
	// Platform is the client to follow, with a token of the role appserver.
	Platform *api.Client
	// Dir keeps the replica over restarts. It is created if need be, and belongs to one
	// process at a time.
	Dir string
	// SealingKey is the private key that belongs to the token's public one (see
	// [api.GenerateSealKey]). Without it nothing can be done with PSKs, and nothing of them is
	// fetched.
	SealingKey []byte

	// MaxStale is how long new handshakes are accepted after the last sign of life from
	// the platform; then they are refused with [ErrStale], and so they are between Open
	// and the first contact. 0: for ever, with what is known.
	MaxStale time.Duration
	// Handshakes is how many handshakes a [Listener] runs at once; 0: 1024.
	Handshakes int
	// HandshakeTimeout ends a handshake that does not get on; 0: 10 seconds.
	HandshakeTimeout time.Duration

	// Policy, if not nil, denies what the platform would accept: by fleet, by SIM, by
	// the time of day. See [Policy].
	Policy Policy

	Logger *slog.Logger     // nil: [slog.Default]
	Clock  func() time.Time // nil: [time.Now]
}

// Middleware knows which credentials are good. It is safe for concurrent use.
type Middleware struct {
	platform   *api.Client
	dir        string
	sealingKey []byte
	maxStale   time.Duration
	handshakes int
	timeout    time.Duration
	policy     Policy
	log        *slog.Logger
	clock      func() time.Time

	anchors atomic.Pointer[anchors]
	live    registry
	secrets *fetcher // nil: there is no key to open them with

	mu      sync.RWMutex // guards what follows; taken before live's
	current *replica     // handshakes ask this one
	status  Status
	closed  bool

	ready     chan struct{} // closed once the replica has caught up
	readyOnce sync.Once

	// Of the goroutine that follows the feed.
	next    *replica // a state fetched from the start, not served before it is complete
	journal *journal
	unsaved chan struct{} // asks for a sync of the journal

	watchers watchers
	lock     *os.File
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// Status tells how well the replica follows the platform.
type Status struct {
	Feed      string    // the platform's name for its history; empty: nothing was ever received
	Seq       int64     // the last event that is applied
	Head      int64     // the platform's last event, as of Contact
	Connected bool      // the feed is open
	Secrets   int       // of PSKs that are accepted, still to be fetched
	Contact   time.Time // the last sign of life since Open; zero: none
	// Lag is the time since Contact, or since Open if there was none.
	Lag time.Duration
	// Err is why the last connection ended.
	Err error

	opened time.Time
}

// Open reads the replica from o.Dir and starts to follow the platform. It does not wait
// for the platform: call [Middleware.Ready] before serving, so that nothing is accepted
// that was revoked while this process did not run. Ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Middleware, error) {
	if o.Platform == nil || o.Dir == "" {
		return nil, errors.New("appserver: Options need Platform and Dir")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := &Middleware{
		platform: o.Platform, dir: o.Dir, sealingKey: slices.Clone(o.SealingKey), maxStale: o.MaxStale,
		handshakes: o.Handshakes, timeout: o.HandshakeTimeout, policy: o.Policy, log: o.Logger, clock: o.Clock,
		ready: make(chan struct{}), unsaved: make(chan struct{}, 1),
	}
	if m.handshakes <= 0 {
		m.handshakes = 1024
	}
	if m.timeout <= 0 {
		m.timeout = 10 * time.Second
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	if m.clock == nil {
		m.clock = time.Now
	}
	m.live.conns = make(map[Fingerprint]*Conn)
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("appserver: %w", err)
	}
	if err := m.startSecrets(o.SealingKey); err != nil {
		return nil, errors.Join(fmt.Errorf("appserver: %w", err), m.journal.close(), m.lock.Close())
	}
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	m.running.Go(func() { m.follow(ctx) })
	m.running.Go(func() { m.save(ctx) })
	m.running.Go(func() { m.expire(ctx) })
	if m.secrets != nil {
		for range fetchers {
			m.running.Go(func() { m.secrets.run(ctx) })
		}
	}
	return m, nil
}

// load takes the lock and reads what an earlier process kept.
func (m *Middleware) load() error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	lock, err := lockFile(filepath.Join(m.dir, "lock"))
	if err != nil {
		return err
	}
	var damage error
	m.journal, m.current, damage, err = openJournal(filepath.Join(m.dir, "journal"))
	if err != nil {
		lock.Close()
		return err
	}
	m.lock = lock
	if damage != nil {
		m.log.Error("the journal was damaged; what is missing is fetched from the platform again", "dir", m.dir, "damage", damage)
	}
	if m.current.feed == "" {
		m.next = newReplica()
	}
	if err := m.loadAnchors(); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.log.Error("the kept CA certificates cannot be used and are fetched again", "dir", m.dir, "error", err)
	}
	m.status = Status{Feed: m.current.feed, Seq: m.current.seq, Head: m.current.seq, opened: m.clock()}
	return nil
}

// Close stops following. Connections that are still open are closed, for nobody would cut
// them off any more, and all handshakes are refused.
func (m *Middleware) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.running.Wait()
	m.live.cutAll(func(Fingerprint) error { return ErrClosed })
	clear(m.sealingKey)
	err := m.journal.close()
	if m.secrets != nil {
		err = errors.Join(err, m.secrets.vault.close())
	}
	return errors.Join(err, m.lock.Close())
}

// Ready waits until the replica has caught up with the platform once since Open.
func (m *Middleware) Ready(ctx context.Context) error {
	select {
	case <-m.ready:
		return nil
	case <-ctx.Done():
		if err := m.Synced().Err; err != nil {
			return fmt.Errorf("appserver: not in step with the platform: %w (%w)", err, context.Cause(ctx))
		}
		return fmt.Errorf("appserver: not in step with the platform: %w", context.Cause(ctx))
	}
}

// Synced tells how well the replica follows the platform.
func (m *Middleware) Synced() Status {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.status
	s.Feed, s.Seq = m.current.feed, m.current.seq
	s.Lag = m.lag(m.clock())
	if m.secrets != nil {
		s.Secrets = m.secrets.missing()
	}
	return s
}

func (m *Middleware) lag(now time.Time) time.Duration {
	if m.status.Contact.IsZero() {
		return now.Sub(m.status.opened)
	}
	return now.Sub(m.status.Contact)
}

// Lookup tells whose credential has the given fingerprint, and with an error why a new
// connection with it is refused: [ErrUnknown], [ErrRevoked], [ErrSuspended], [ErrDenied] and
// so on. The identity is filled in unless the credential is unknown.
func (m *Middleware) Lookup(fingerprint Fingerprint) (Identity, error) {
	id, err := m.find(fingerprint)
	if err == nil {
		err = m.denied(id)
	}
	return id, err
}

// find is Lookup without the policy.
func (m *Middleware) find(fingerprint Fingerprint) (Identity, error) {
	now := m.clock()
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.current.byPrint[fingerprint]
	var id Identity
	if c != nil {
		id = c.Identity
	}
	switch {
	case m.closed:
		return id, ErrClosed
	case m.current.feed == "":
		return id, ErrNotReady
	case m.maxStale > 0 && (m.status.Contact.IsZero() || m.lag(now) > m.maxStale):
		return id, ErrStale
	case c == nil:
		return id, ErrUnknown
	}
	return id, c.refusal(now)
}

// Identify is [Middleware.Lookup] for the certificate that the peer of a TLS connection
// has shown. Only a connection with the configuration of [Middleware.TLSConfig] has proved
// that it holds the key.
func (m *Middleware) Identify(state tls.ConnectionState) (Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return Identity{}, ErrUnknown
	}
	return m.Lookup(sha256.Sum256(state.PeerCertificates[0].Raw))
}

// Barred lists, in order, the ICCIDs of the SIMs that had a credential and now have none
// that is accepted, and of those that are suspended or terminated.
func (m *Middleware) Barred() []string {
	now := m.clock()
	m.mu.RLock()
	defer m.mu.RUnlock()
	var iccids []string
	for iccid, s := range m.current.sims {
		if s.barred(now) {
			iccids = append(iccids, iccid)
		}
	}
	slices.Sort(iccids)
	return iccids
}
