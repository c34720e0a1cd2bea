package appserver

import "iter"

// Standing is what is known of one credential, for servers that keep lists of their own.
type Standing struct {
	Identity
	Fingerprint Fingerprint // zero if it has nothing to show in a handshake yet
	PSKIdentity string      // what a SIM with a PSK shows; empty for a certificate
	Refused     error       // why a new connection with it is refused; nil: it is let in
	Cut         error       // why a live connection with it must end; nil: it may go on
}

// standingsAtOnce is how many are read under one lock.
const standingsAtOnce = 1024

// Standings goes through all credentials. The replica is not held meanwhile: what changes is told
// in its old state or its new one, and by [Middleware.Watch]. If the whole state is replaced, which Watch
// tells too, the rest is not told.
func (m *Middleware) Standings() iter.Seq[Standing] {
	return func(yield func(Standing) bool) {
		m.mu.RLock()
		r := m.current
		m.mu.RUnlock()
		batch := make([]Standing, 0, standingsAtOnce)
		for from := uint32(0); ; {
			batch = batch[:0]
			m.mu.RLock()
			if m.current != r || from >= r.credentials.used {
				m.mu.RUnlock()
				return
			}
			for ; from < r.credentials.used && len(batch) < cap(batch); from++ {
				if c := r.credentials.at(from); c.kind != 0 {
					batch = append(batch, m.standing(from, c))
				}
			}
			m.mu.RUnlock()
			for _, s := range batch {
				if !yield(m.reconsidered(s)) {
					return
				}
			}
		}
	}
}

// StandingsOf are the credentials of one SIM.
func (m *Middleware) StandingsOf(iccid string) []Standing {
	m.mu.RLock()
	var all []Standing
	if sim, ok := m.current.simOf(iccid); ok {
		for i, c := range m.current.of(sim) {
			all = append(all, m.standing(i, c))
		}
	}
	m.mu.RUnlock()
	for i, s := range all {
		all[i] = m.reconsidered(s)
	}
	return all
}

// standing is without the policy. The caller holds the lock.
func (m *Middleware) standing(i uint32, c *credential) Standing {
	s := Standing{Identity: m.current.identify(c), Fingerprint: c.print, PSKIdentity: m.current.identityText(i, c)}
	own, now := m.clock(), m.now()
	s.Refused, s.Cut = m.current.refusal(c, now), m.current.cut(c, now)
	if s.Refused == nil && m.maxStale > 0 && m.stale(own, m.maxStale) {
		s.Refused = ErrStale
	}
	if s.Cut == nil && m.cutStale > 0 && m.stale(own, m.cutStale) {
		s.Cut = ErrStale
	}
	return s
}

// reconsidered asks the policy, which must not be called under the lock.
func (m *Middleware) reconsidered(s Standing) Standing {
	if s.Refused == nil || s.Cut == nil {
		if err := m.denied(s.Identity); err != nil {
			if s.Refused == nil {
				s.Refused = err
			}
			if s.Cut == nil {
				s.Cut = err
			}
		}
	}
	return s
}
