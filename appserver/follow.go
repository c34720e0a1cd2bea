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
// follows: it was restored from a backup or replaced, or it skipped an event. Everything
// is then fetched anew; what was known serves on until that is complete.
type HistoryError struct {
	Feed, WantFeed string // the platform's history, and the replica's
	Seq, WantSeq   int64  // the platform's position, and the lowest that would continue the replica
}

func (e *HistoryError) Error() string {
	if e.Feed != e.WantFeed {
		return fmt.Sprintf("the platform's history is %q and not %q: it was replaced; everything is fetched anew", e.Feed, e.WantFeed)
	}
	if e.Seq < e.WantSeq {
		return fmt.Sprintf("the platform is at %d, behind %d: it was restored from a backup; everything is fetched anew", e.Seq, e.WantSeq)
	}
	return fmt.Sprintf("the platform sent event %d where %d was due; everything is fetched anew", e.Seq, e.WantSeq)
}

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
		progress := false
		err := m.platform.Feed(ctx, m.target().seq, func(line api.FeedLine) error {
			err := m.take(line)
			progress = progress || err == nil && line.Header == nil
			return err
		})
		if ctx.Err() != nil {
			return
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
func (m *Middleware) take(line api.FeedLine) error {
	switch t := m.target(); {
	case line.Header != nil:
		if t.feed != "" && t.feed != line.Header.ID || line.Header.Head < t.seq {
			m.next = newReplica()
			return &HistoryError{Feed: line.Header.ID, WantFeed: t.feed, Seq: line.Header.Head, WantSeq: t.seq}
		}
		if t.feed == "" { // which no handshake asks yet
			t.feed = line.Header.ID
		}
		m.contact(line.Header.Head)
	case line.Head != nil:
		if *line.Head < t.seq {
			m.next = newReplica()
			return &HistoryError{Feed: t.feed, WantFeed: t.feed, Seq: *line.Head, WantSeq: t.seq}
		}
		m.contact(*line.Head)
		if m.next == nil && m.journal.broken() {
			m.rewrite()
		}
	case line.Event.Seq <= t.seq:
		return nil // told twice
	case line.Event.Seq != t.seq+1:
		m.next = newReplica()
		return &HistoryError{Feed: t.feed, WantFeed: t.feed, Seq: line.Event.Seq, WantSeq: t.seq + 1}
	case t == m.next:
		t.apply(line.Event)
	default:
		m.change(line.Event)
	}
	m.settle()
	return nil
}

// contact notes a sign of life.
func (m *Middleware) contact(head int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Connected, m.status.Contact, m.status.Head, m.status.Err = true, m.clock(), head, nil
}

// change applies an event to the state that is served: first in memory, then to the
// connections, then on disk, so that a revocation works at once.
func (m *Middleware) change(e *api.Event) {
	now := m.clock()
	m.mu.Lock()
	touched := m.current.apply(e)
	m.status.Contact, m.status.Head = now, max(m.status.Head, e.Seq)
	m.mu.Unlock()

	for _, c := range touched.credentials {
		if reason := m.cutReason(c.print); reason != nil {
			if n := m.live.cut(c.print, reason); n > 0 {
				m.log.Info("connections were cut off", "iccid", c.ICCID, "credential", c.Credential, "count", n, "reason", reason)
			}
		}
	}
	if m.secrets != nil {
		m.secrets.consider(e.Credential)
	}
	if err := m.journal.append(e); err != nil {
		m.log.Error("the replica is not kept on disk any more; it works on in memory, and writing is tried again", "dir", m.dir, "error", err)
	}
	select {
	case m.unsaved <- struct{}{}:
	default:
	}
	if m.journal.overgrown(m.current.size()) {
		m.rewrite()
	}
	m.watchers.tell(Change{
		ICCID: touched.iccid, Barred: touched.barred(now),
		Revoked: e.Credential != nil && e.Credential.State == api.Revoked,
	})
}

// settle serves from the state that was fetched anew as soon as it is complete, and tells
// when the replica has caught up.
func (m *Middleware) settle() {
	if m.target().seq < m.status.Head {
		return
	}
	if m.next != nil {
		m.mu.Lock()
		m.current, m.next = m.next, nil
		m.mu.Unlock()
		m.log.Info("the platform's state is complete", "feed", m.current.feed, "seq", m.current.seq, "sims", len(m.current.sims))
		m.live.cutAll(m.cutReason)
		if m.secrets != nil {
			m.secrets.reconcile(m.current.secrets)
		}
		m.rewrite()
		m.watchers.tell(Change{})
	}
	m.readyOnce.Do(func() { close(m.ready) })
}

// cutReason is why connections with this credential must end, nil if they may go on.
func (m *Middleware) cutReason(print Fingerprint) error {
	now := m.clock()
	m.mu.RLock()
	c := m.current.byPrint[print]
	if c == nil {
		m.mu.RUnlock()
		return ErrUnknown
	}
	id, reason := c.Identity, c.cut(now)
	m.mu.RUnlock()
	if reason == nil {
		reason = m.denied(id)
	}
	return reason
}

// rewrite makes the journal hold the present state and no more.
func (m *Middleware) rewrite() {
	m.mu.Lock()
	m.current.forget(m.clock())
	m.mu.Unlock()
	if err := m.journal.rewrite(m.current); err != nil {
		m.log.Error("the replica is not kept on disk", "dir", m.dir, "error", err)
	}
}

// save syncs the journal: as often as the disk can, however fast the events come.
func (m *Middleware) save(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.unsaved:
			if err := m.journal.sync(); err != nil {
				m.log.Error("the replica may not survive a loss of power", "dir", m.dir, "error", err)
			}
		}
	}
}

// The intervals of what no event triggers.
const (
	expireEvery  = 10 * time.Second
	anchorsEvery = 10 * time.Minute
)

// expire cuts connections whose credential has reached its end, and looks for new CA
// certificates.
func (m *Middleware) expire(ctx context.Context) {
	ends, fetches := time.NewTicker(expireEvery), time.NewTicker(anchorsEvery)
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
