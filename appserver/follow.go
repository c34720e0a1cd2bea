package appserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/simroot/simroot/api"
)

// HistoryError means that the platform does not continue the history that the replica
// follows: it was restored from a backup, or replaced. Everything is then fetched anew; what
// was known serves on until that is complete.
type HistoryError struct {
	At  api.FeedPosition // the replica's
	Err error            // what shows it
}

func (e *HistoryError) Error() string {
	return fmt.Sprintf("the platform does not continue history %q after event %d: it was restored from a backup or replaced; everything is fetched anew (%v)", e.At.ID, e.At.Seq, e.Err)
}

// Unwrap returns what shows it.
func (e *HistoryError) Unwrap() error { return e.Err }

// The waits between two connections: doubled from the first to the last, less a random
// part, and back to the first after progress.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 15 * time.Second
)

// follow keeps the replica in step until ctx ends.
func (m *Middleware) follow(ctx context.Context) {
	for wait := firstWait; ; {
		if err := m.fetchAnchors(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("the platform's CA certificates cannot be fetched; those known are used", "error", err)
		}
		var from *api.FeedPosition
		if m.next == nil {
			at := m.current.FeedPosition
			from = &at
		} else { // a part of a state is of no use
			m.next, m.stateTold = newReplica(), false
		}
		progress := false
		err := m.platform.Feed(ctx, from, func(line api.FeedLine) error {
			err := m.take(ctx, line)
			progress = progress || err == nil && line.Header == nil
			return err
		})
		if ctx.Err() != nil {
			return
		}
		if api.HasCode(err, api.CodeFeedHistory) {
			err = m.otherHistory(err)
		}
		m.disconnected(err)
		if progress {
			wait = firstWait
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, lastWait)
	}
}

// otherHistory has everything fetched anew.
func (m *Middleware) otherHistory(shown error) error {
	at := m.target().FeedPosition
	m.next = newReplica()
	return &HistoryError{at, shown}
}

func (m *Middleware) disconnected(err error) {
	if err == nil {
		err = errors.New("the platform ended the feed")
	}
	m.mu.Lock()
	m.status.Connected, m.status.Err = false, err
	m.mu.Unlock()
	var history *HistoryError
	if errors.As(err, &history) {
		m.log.Error("the replica does not fit the platform", "error", err)
	} else {
		m.log.Warn("the feed ended and is opened again; handshakes go on with what is known", "error", err)
	}
}

// target is the replica that the feed continues.
func (m *Middleware) target() *replica {
	if m.next != nil {
		return m.next
	}
	return m.current
}

// take takes over one line of the feed.
func (m *Middleware) take(ctx context.Context, line api.FeedLine) error {
	switch t := m.target(); {
	case line.Header != nil:
		h := line.Header
		if h.State != (m.next != nil) || !h.State && h.FeedPosition != t.FeedPosition {
			return fmt.Errorf("the platform begins the feed at event %d of %q, and was asked for %d of %q", h.Seq, h.ID, t.Seq, t.ID)
		}
		t.FeedPosition = h.FeedPosition
		m.contact(ctx, api.Heartbeat{Head: h.Head, Time: h.Time, CAs: h.CAs})
	case line.State != nil:
		e := newEntry(line.State)
		if m.next == nil || m.stateTold {
			return errors.New("the platform tells a state that was not asked for")
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("the platform's state: %w", err)
		}
		t.apply(e)
		return nil
	case line.Heartbeat != nil:
		if line.Heartbeat.Head < t.Seq {
			return m.otherHistory(fmt.Errorf("it is at event %d", line.Heartbeat.Head))
		}
		m.contact(ctx, *line.Heartbeat)
		m.stateTold = true
	case line.Skipped != nil:
		m.skip(t, line.Skipped)
	case line.Event.Seq <= t.Seq:
		return nil // told twice
	case line.Event.Seq != t.Seq+1:
		return fmt.Errorf("the platform sent event %d where %d was due", line.Event.Seq, t.Seq+1)
	default:
		e := newEntry(line.Event)
		if err := e.check(); err != nil {
			return fmt.Errorf("the platform's event %d: %w", e.Seq, err)
		}
		if t == m.next {
			t.apply(e)
			t.Seq, t.Mark = e.Seq, e.Mark
		} else {
			m.change(e)
		}
	}
	m.settle()
	m.keep()
	return nil
}

// contact notes a sign of life.
func (m *Middleware) contact(ctx context.Context, h api.Heartbeat) {
	now := m.clock()
	m.mu.Lock()
	m.status.Connected, m.status.Contact, m.status.Head, m.status.Err = true, now, h.Head, nil
	m.mu.Unlock()
	m.compareClocks(now, h.Time)
	if err := m.journal.heard(h.Time); err != nil {
		m.notKept(err)
	}
	if known := m.anchors.Load(); h.CAs != "" && (known == nil || known.digest() != h.CAs) {
		if err := m.fetchAnchors(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("the platform has other CA certificates, which cannot be fetched yet; those known are used", "error", err)
		}
	}
}

// skip moves on past events that are none of this middleware's business.
func (m *Middleware) skip(t *replica, s *api.Skipped) {
	if s.Seq <= t.Seq {
		return // told twice
	}
	own := m.clock()
	m.mu.Lock()
	t.Seq, t.Mark = s.Seq, s.Mark
	m.status.Contact, m.status.Head = own, max(m.status.Head, s.Seq)
	m.mu.Unlock()
	if t == m.next {
		return
	}
	if err := m.journal.skip(s.Seq, s.Mark); err != nil {
		m.notKept(err)
	}
}

// change applies an event to the state that is served: first in memory, then to the
// connections, then on disk, so that a revocation works at once.
func (m *Middleware) change(e *entry) {
	own, now := m.clock(), m.now()
	type cut struct {
		print  Fingerprint
		id     Identity
		reason error
	}
	var cuts []cut
	if m.secrets != nil { // first, so that who sees the event sees what it lacks
		m.secrets.consider(e)
	}
	m.mu.Lock()
	r := m.current
	touched := r.apply(e)
	r.Seq, r.Mark = e.Seq, e.Mark
	m.status.Contact, m.status.Head = own, max(m.status.Head, e.Seq)
	barred := r.barred(touched, now)
	for _, c := range r.of(touched) {
		if m.live.has(c.print) {
			cuts = append(cuts, cut{c.print, r.identify(c), r.cut(c, now)})
		}
	}
	m.mu.Unlock()

	for _, c := range cuts {
		if c.reason == nil {
			c.reason = m.denied(c.id)
		}
		if c.reason == nil {
			continue
		}
		if n := m.live.cut(c.print, c.reason); n > 0 {
			m.log.Info("connections were cut off", "iccid", c.id.ICCID, "credential", c.id.Credential, "count", n, "reason", c.reason)
		}
	}
	if err := m.journal.append(e); err != nil {
		m.notKept(err)
	}
	select {
	case m.unsaved <- struct{}{}:
	default:
	}
	m.watchers.tell(Change{ICCID: e.ICCID, Barred: barred, Revoked: e.ID != "" && e.State == string(api.Revoked), PSK: e.Type == api.PSKType})
}

// settle serves from the state that was fetched anew as soon as it is complete, and tells
// when the replica has caught up.
func (m *Middleware) settle() {
	if m.target().Seq < m.status.Head || m.next != nil && !m.stateTold {
		return
	}
	if m.next != nil {
		if m.secrets != nil {
			m.secrets.reconcile(m.next.secrets)
		}
		m.mu.Lock()
		m.current, m.next = m.next, nil
		m.mu.Unlock()
		m.log.Info("the platform's state is complete", "feed", m.current.ID, "seq", m.current.Seq, "sims", m.current.sims.len())
		m.journal.abandon()
		m.live.cutAll(m.cutReason)
		m.watchers.tell(Change{})
	}
	m.readyOnce.Do(func() { close(m.ready) })
}

// cutReason is why connections with this credential must end, nil if they may go on.
func (m *Middleware) cutReason(print Fingerprint) error {
	own, now := m.clock(), m.now()
	m.mu.RLock()
	if m.cutStale > 0 && m.stale(own, m.cutStale) {
		m.mu.RUnlock()
		return ErrStale
	}
	c := m.current.byFingerprint(&print)
	if c == nil {
		m.mu.RUnlock()
		return ErrUnknown
	}
	id, reason := Identity{}, m.current.cut(c, now)
	if reason == nil && m.policy != nil {
		id = m.current.identify(c)
	}
	m.mu.RUnlock()
	if reason == nil {
		reason = m.denied(id)
	}
	return reason
}

// The intervals of what no event triggers.
const (
	sweepEvery   = 10 * time.Second
	anchorsEvery = 10 * time.Minute
)

// sweep cuts connections whose credential has reached its end, or for which the replica has
// become too old, and looks for new CA certificates.
func (m *Middleware) sweep(ctx context.Context) {
	ends, fetches := time.NewTicker(sweepEvery), time.NewTicker(anchorsEvery)
	defer ends.Stop()
	defer fetches.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ends.C:
			m.live.cutAll(m.cutReason)
		case <-fetches.C:
			if err := m.fetchAnchors(ctx); err != nil && ctx.Err() == nil {
				m.log.Warn("the platform's CA certificates cannot be fetched; those known are used", "error", err)
			}
		}
	}
}
