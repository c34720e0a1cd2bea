package modem

import (
	"context"
	"strings"
	"time"
)

const (
	markerWait = 10 * time.Second       // for the answer to one marker
	markerTry  = 3 * time.Second        // to find out whether it is known at all
	quiet      = 500 * time.Millisecond // a pause in which nothing more is expected
)

// marker is a query that changes nothing and whose answer has a line like no other.
type marker struct{ command, prefix string }

// markers to try, the surest first. +CPIN also comes unsolicited, when a modem restarts.
var markers = []marker{{"AT+CMEE?", "+CMEE:"}, {"AT+CFUN?", "+CFUN:"}, {"AT+CPIN?", "+CPIN:"}}

// step says whether the line is in step: no final result is outstanding.
type step struct {
	lost    bool
	markers []marker // that this modem answers

	// While the line is being brought back into step:
	asked int       // how many of the markers were sent
	until time.Time // when the last one of them is given up
	seen  bool      // its line has come; its OK has not
}

// synchronise brings the line back into step after an exchange that was given up, so that
// the answer that may still come is not taken for the answer to the next command.
//
// It sends a marker and passes over everything until the marker's own line and OK. Since
// modems answer in order, nothing older can come after that. A marker that is not
// answered is not repeated: its late answer could be taken for that of its repetition. The next
// one is of another kind. If none is answered, the modem is given up.
//
// A caller who goes away meanwhile leaves the work half done for the next one.
func (l *line) synchronise(ctx context.Context) error {
	if l.broken != nil {
		return l.broken
	}
	s := &l.step
	if s.lost && len(s.markers) == 0 {
		return l.settle(ctx)
	}
	for s.lost {
		if s.asked == 0 || !time.Now().Before(s.until) {
			if s.asked == len(s.markers) {
				l.broken = ErrSilent
				return l.broken
			}
			if err := l.write(ctx, s.markers[s.asked].command+"\r", markerWait); err != nil {
				return err
			}
			s.asked, s.until, s.seen = s.asked+1, time.Now().Add(markerWait), false
		}
		if err := l.await(ctx, s.markers[s.asked-1].prefix); err != nil && err != ErrTimeout {
			return err
		}
	}
	return nil
}

// tryMarker finds out whether the modem answers a marker. What is still outstanding from
// before is passed over.
func (l *line) tryMarker(ctx context.Context, m marker) (found bool, err error) {
	if err := l.write(ctx, m.command+"\r", markerTry); err != nil {
		return false, err
	}
	timer := time.NewTimer(markerTry)
	defer timer.Stop()
	for {
		text, err := l.next(ctx, timer.C)
		if err == ErrTimeout {
			return false, nil
		} else if err != nil {
			return false, err
		}
		result, final := finalResult(text)
		switch {
		case strings.HasPrefix(text, m.prefix):
			found = true
		case final && (found || result != nil):
			return found && result == nil, nil
		}
	}
}

// await passes over lines until the answer to the marker that was sent last.
func (l *line) await(ctx context.Context, prefix string) error {
	timer := time.NewTimer(time.Until(l.step.until))
	defer timer.Stop()
	for {
		text, err := l.next(ctx, timer.C)
		if err != nil {
			return err
		}
		if strings.HasPrefix(text, prefix) {
			l.step.seen = true
		} else if err, final := finalResult(text); l.step.seen && final && err == nil {
			l.step.lost, l.step.asked = false, 0
			return nil
		}
	}
}

// settle is synchronise for a modem that answers no marker: its OK to AT cannot be told
// from that of an earlier command, so the line must also stay quiet after it.
func (l *line) settle(ctx context.Context) error {
	if err := l.write(ctx, "AT\r", markerWait); err != nil {
		return err
	}
	wait := markerWait
	for {
		timer := time.NewTimer(wait)
		text, err := l.next(ctx, timer.C)
		timer.Stop()
		switch {
		case err == nil:
			if text == "OK" {
				wait = quiet
			}
		case err == ErrTimeout && wait == quiet:
			l.step.lost = false
			return nil
		case err == ErrTimeout:
			l.broken = ErrSilent
			return l.broken
		default:
			return err
		}
	}
}
