package appserver

import (
	"context"
	"time"
)

// retryDisk is how long after a failure the next generation of the journal is tried.
const retryDisk = 30 * time.Second

// keep begins a new generation of the journal when that is due.
func (m *Middleware) keep() {
	now := m.clock()
	if m.next != nil || m.current.ID == "" || !m.journal.due(m.current.size(), now, m.retryDisk) {
		return
	}
	for from, more := uint32(0), true; more; {
		m.mu.Lock() // in steps, between which handshakes go on
		from, more = m.current.forget(m.now(), from)
		m.mu.Unlock()
	}
	write, err := m.journal.begin(m.current.freeze(), now)
	if err != nil {
		m.notKept(err)
		return
	}
	m.running.Go(func() {
		if err := write(); err != nil {
			m.notKept(err)
		}
	})
}

// notKept says so once, and not again for every event.
func (m *Middleware) notKept(err error) {
	m.log.Error("the replica is not kept on disk as it should be; it works on in memory, and writing is tried again", "dir", m.dir, "error", err)
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
