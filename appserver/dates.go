package appserver

import "time"

// clockTolerance is by how much this machine's clock may differ from the platform's before
// dates are taken by the platform's.
const clockTolerance = time.Minute

// correction is what replaces a clock that is wrong.
type correction struct {
	own, platform time.Time // two names of one moment
}

// now is the time that dates are compared with: by this machine's clock, unless the platform's
// differs. Dates are the platform's word, so they mean its time: with a clock that is a day
// slow, certificates made today would not be valid yet, with one that is a day fast, some would
// have ended.
func (m *Middleware) now() time.Time {
	own := m.clock()
	if c := m.corrected.Load(); c != nil {
		return c.platform.Add(own.Sub(c.own)) // monotonic: the clock may be set meanwhile
	}
	return own
}

// compareClocks looks at the platform's time. Own is now by this machine's clock.
func (m *Middleware) compareClocks(own, platform time.Time) {
	if platform.IsZero() {
		return
	}
	off := own.Sub(platform).Round(time.Millisecond)
	m.mu.Lock()
	before := m.status.ClockOff
	m.status.ClockOff = off
	m.mu.Unlock()
	wrong, wasWrong := off.Abs() > clockTolerance, m.corrected.Load() != nil
	if wrong {
		m.corrected.Store(&correction{own, platform})
	} else {
		m.corrected.Store(nil)
	}
	switch {
	case wrong && (!wasWrong || (off-before).Abs() > clockTolerance):
		m.log.Error("this machine's clock and the platform's differ: dates of credentials are taken by the platform's until that is repaired",
			"ahead of the platform by", off)
	case !wrong && wasWrong:
		m.log.Info("this machine's clock and the platform's agree again")
	}
}
