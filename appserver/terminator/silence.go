package terminator

import (
	"sync/atomic"
	"time"
)

// silence calls end once nothing has moved for as long as a limit, which may change.
type silence struct {
	began time.Time
	moved atomic.Int64 // since began
	limit atomic.Int64 // 0: none
	timer *time.Timer
}

func newSilence(limit time.Duration, end func()) *silence {
	s := &silence{began: time.Now()}
	s.limit.Store(int64(limit))
	s.timer = time.AfterFunc(max(limit, time.Hour), func() {
		limit := time.Duration(s.limit.Load())
		quiet := time.Since(s.began) - time.Duration(s.moved.Load())
		switch {
		case limit == 0:
		case quiet >= limit:
			end()
		default:
			s.timer.Reset(limit - quiet)
		}
	})
	if limit > 0 {
		s.timer.Reset(limit)
	}
	return s
}

// move notes that something was sent.
func (s *silence) move() { s.moved.Store(int64(time.Since(s.began))) }

// tighten sets another limit, from now on.
func (s *silence) tighten(limit time.Duration) {
	s.move()
	s.limit.Store(int64(limit))
	s.timer.Reset(limit)
}

func (s *silence) stop() { s.timer.Stop() }
