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

	// MaxStale is how old the replica may become: when the platform's last sign of life is
	// longer ago, new handshakes are refused with [ErrStale]. 0, the default: they are
	// accepted for ever, by what is known.
	MaxStale time.Duration
	// CutStale is the same for live connections, which are then closed. 0: never.
	CutStale time.Duration
	// Handshakes is how many handshakes a [Listener] runs at once; 0: 1024. While
	// there are more, the oldest end after a quarter of HandshakeTimeout.
	Handshakes int
	// HandshakeTimeout ends a handshake that does not get on; 0: 10 seconds.
	HandshakeTimeout time.Duration

	// Policy, if not nil, denies what the platform would accept: by fleet, by SIM, by
	// the time of day. See [Policy].
	Policy Policy

	Logger *slog.Logger     // nil: [slog.Default]
	Clock  func() time.Time // nil: [time.Now]

	retryDisk time.Duration // 0: the constant
}

// Middleware knows which credentials are good. It is safe for concurrent use.
type Middleware struct {
	platform   *api.Client
	dir        string
	sealingKey []byte
	maxStale   time.Duration
	cutStale   time.Duration
	retryDisk  time.Duration
	handshakes int
	timeout    time.Duration
	policy     Policy
	log        *slog.Logger
	clock      func() time.Time

	anchors   atomic.Pointer[anchors]
	corrected atomic.Pointer[correction] // nil: the clock is right, as far as is known
	live      registry
	secrets   *fetcher // nil: there is no key to open them with

	mu      sync.RWMutex // guards what follows; taken before live's
	current *replica     // handshakes ask this one
	status  Status
	closed  bool

	ready     chan struct{} // closed once the replica has caught up
	readyOnce sync.Once

	// Of the goroutine that follows the feed.
	next      *replica // a state fetched anew, not served before it is complete
	stateTold bool     // all of it was told, but what has changed meanwhile

	journal *journal
	unsaved chan struct{} // asks for a sync of the journal

	watchers watchers
	lock     *os.File
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// Status tells how well the replica follows the platform.
type Status struct {
	Feed      string // the platform's name for its history; empty: nothing was ever received
	Seq       int64  // the last event that is applied
	Head      int64  // the platform's last event, as of Contact
	Connected bool   // the feed is open
	Secrets   int    // of PSKs that are accepted, still to be fetched
	// Contact is the platform's last sign of life; zero: none ever. An earlier process may have
	// heard it, to the minute.
	Contact time.Time
	// Lag is the time since Contact, or since Open if there was none: how stale the
	// replica is.
	Lag time.Duration
	// Stale tells that new handshakes are refused for that; see [Options.MaxStale].
	Stale bool
	// Cut tells that live connections end for that; see [Options.CutStale].
	Cut bool
	// ClockOff is by how much this machine's clock was ahead of the platform's at the last
	// sign of life. Beyond a minute, dates are taken by the platform's clock.
	ClockOff time.Duration
	// Err is why the last connection ended; nil while Connected.
	Err error
	// DiskErr is why the replica is not kept on disk as it should be; nil: it is.
	DiskErr error

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
		platform: o.Platform, dir: o.Dir, sealingKey: slices.Clone(o.SealingKey), maxStale: o.MaxStale, cutStale: o.CutStale, retryDisk: o.retryDisk,
		handshakes: o.Handshakes, timeout: o.HandshakeTimeout, policy: o.Policy, log: o.Logger, clock: o.Clock,
		ready: make(chan struct{}), unsaved: make(chan struct{}, 1),
	}
	if o.MaxStale < 0 || o.CutStale < 0 {
		return nil, errors.New("appserver: Options.MaxStale and CutStale cannot be negative")
	}
	if m.handshakes <= 0 {
		m.handshakes = 1024
	}
	if m.timeout <= 0 {
		m.timeout = 10 * time.Second
	}
	if m.retryDisk <= 0 {
		m.retryDisk = retryDisk
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
	m.running.Go(func() { m.sweep(ctx) })
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
	m.journal, m.current, damage, err = openJournal(m.dir)
	if err != nil {
		lock.Close()
		return err
	}
	m.lock = lock
	if damage != nil {
		m.log.Error("the journal was damaged; what is missing is fetched from the platform again", "dir", m.dir, "damage", damage)
	}
	if m.current.ID == "" {
		m.next = newReplica()
	}
	if err := m.loadAnchors(); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.log.Error("the kept CA certificates cannot be used and are fetched again", "dir", m.dir, "error", err)
	}
	m.status = Status{Head: m.current.Seq, opened: m.clock()}
	if m.journal.contact != 0 {
		m.status.Contact = time.UnixMicro(m.journal.contact)
		if m.status.opened.Before(m.status.Contact) { // then the clock is slow, by that at least
			m.compareClocks(m.status.opened, m.status.Contact)
		}
	}
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
	now := m.clock()
	s.Feed, s.Seq = m.current.ID, m.current.Seq
	s.Lag, s.Stale = m.lag(now), m.maxStale > 0 && m.stale(now, m.maxStale)
	s.Cut = m.cutStale > 0 && m.stale(now, m.cutStale)
	s.DiskErr = m.journal.failure()
	if m.secrets != nil {
		s.Secrets = m.secrets.missing()
	}
	return s
}

// lag is how old the replica is. Now is by this machine's clock, as Contact is.
func (m *Middleware) lag(now time.Time) time.Duration {
	if m.status.Contact.IsZero() {
		return now.Sub(m.status.opened)
	}
	return max(0, now.Sub(m.status.Contact))
}

// stale tells whether the replica is older than a limit, or of unknown age: the platform was never
// heard, or by this machine's clock it was in the future.
func (m *Middleware) stale(now time.Time, limit time.Duration) bool {
	c := m.status.Contact
	return c.IsZero() || now.Sub(c) > limit || c.Sub(now) > clockTolerance
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
	h, err := m.holder(fingerprint)
	return h.identity(), err
}

func (m *Middleware) holder(fingerprint Fingerprint) (h holder, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c, err := m.judge(&fingerprint)
	if c != nil {
		h = m.current.holder(c)
	}
	return h, err
}

// accepts is find for those who need not know who it is, nor why not.
func (m *Middleware) accepts(fingerprint Fingerprint) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, err := m.judge(&fingerprint)
	return err == nil
}

// judge finds a credential and tells why it is refused. The caller holds the lock.
func (m *Middleware) judge(fingerprint *Fingerprint) (*credential, error) {
	c := m.current.byFingerprint(fingerprint)
	switch {
	case m.closed:
		return c, ErrClosed
	case m.current.ID == "":
		return c, ErrNotReady
	case m.maxStale > 0 && m.stale(m.clock(), m.maxStale):
		return c, ErrStale
	case c == nil:
		return nil, ErrUnknown
	}
	return c, m.current.refusal(c, m.now())
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
	now := m.now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	var iccids []string
	for i := range m.current.sims.used {
		if m.current.barred(i, now) {
			iccids = append(iccids, unpackICCID(m.current.sims.at(i).iccid))
		}
	}
	slices.Sort(iccids)
	return iccids
}
