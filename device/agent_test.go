package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
)

const (
	aSIM     card.ICCID = "89882119900000000017"
	otherSIM card.ICCID = "89882119900000000025"
)

const (
	lifetime    = 90 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour
)

// play is a SIM and a platform for one agent, on one clock.
type play struct {
	t      *testing.T
	agent  *Agent
	cancel context.CancelFunc
	ended  chan error
	begun  chan struct{} // closed when the agent may run: see after
	begin  sync.Once

	mu sync.Mutex // guards what follows

	// What the agent meets.
	iccid  card.ICCID
	gone   error         // of opening the SIM
	answer error         // of onboarding
	ahead  time.Duration // of the device's clock before the platform's
	issued time.Time     // of the credential, by the platform's clock; zero: none

	unwritable error

	opened, open int
	visits       []time.Time // onboardings begun, by the true clock
}

// set changes what the agent meets.
func (p *play) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *play) ICCID() card.ICCID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.iccid
}

func (p *play) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	return nil
}

func (p *play) Onboard(context.Context, Platform) (Onboarding, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.visits = append(p.visits, time.Now())
	if p.answer != nil {
		return Onboarding{Commands: 1, Bytes: 5}, p.answer
	}
	done := Onboarding{Commands: 17, Bytes: 1813}
	if now := time.Now(); p.issued.IsZero() || !now.Before(p.issued.Add(lifetime-renewBefore)) {
		p.issued, done.Changed = now, true
	}
	done.RenewAt = p.issued.Add(lifetime - renewBefore)
	done.Credential = api.Credential{ID: "c1", ICCID: string(p.iccid), Fleet: "meters", Type: api.CertificateType, NotBefore: p.issued, NotAfter: p.issued.Add(lifetime)}
	return done, nil
}

// playing runs body beside an agent, in time that passes at once.
func playing(t *testing.T, o AgentOptions, body func(p *play)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &play{t: t, iccid: aSIM, ended: make(chan error, 1), begun: make(chan struct{})}
		o.Open = func(context.Context) (AgentSIM, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.gone != nil {
				return nil, p.gone
			}
			p.opened++
			p.open++
			return p, nil
		}
		o.Now = func() time.Time {
			p.mu.Lock()
			defer p.mu.Unlock()
			return time.Now().Add(p.ahead)
		}
		o.Report = func(AgentStatus) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.unwritable
		}
		o.Log = slog.New(slog.DiscardHandler)
		p.agent = NewAgent(o)
		ctx, cancel := context.WithCancel(t.Context())
		p.cancel = cancel
		go func() {
			select { // what the body sets up first is there from the beginning
			case <-p.begun:
			case <-ctx.Done():
			}
			p.ended <- p.agent.Run(ctx)
		}()
		defer func() {
			cancel()
			synctest.Wait()
			if p.open != 0 {
				t.Errorf("%d SIMs were left open", p.open)
			}
		}()
		body(p)
	})
}

// after lets time pass, and what is to happen by then happen.
func (p *play) after(d time.Duration) AgentStatus {
	p.begin.Do(func() { close(p.begun) })
	p.set(func() {}) // what the test has read is read before the agent goes on
	time.Sleep(d)    // in a synctest bubble: no time passes
	synctest.Wait()
	p.set(func() {})
	return p.agent.Status()
}

func (p *play) want(s AgentStatus, state AgentState, visits int) {
	p.t.Helper()
	if s.State != state || len(p.visits) != visits {
		p.t.Fatalf("the agent is %s after %d visits, want %s after %d: %+v", s.State, len(p.visits), state, visits, s)
	}
}

func TestTheAgentSwitchesOnAndRenewsBeforeTheCredentialEnds(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		s := p.after(0)
		p.want(s, AgentReady, 1)
		if s.ICCID != string(aSIM) || s.Credential == nil || s.Totals.Credentials != 1 || !s.RenewAt.Equal(s.Credential.NotAfter.Add(-renewBefore)) {
			t.Fatalf("%+v", s)
		}
		p.want(p.after(lifetime-renewBefore-time.Second), AgentReady, 1)
		p.want(p.after(spread+2*time.Second), AgentReady, 2)
		if s := p.agent.Status(); s.Totals.Credentials != 2 || !time.Now().Before(s.Credential.NotAfter) {
			t.Errorf("%+v", s)
		}
		for range 3 {
			if p.after(lifetime - renewBefore + spread + time.Second); !time.Now().Before(p.agent.Status().Credential.NotAfter) {
				t.Fatal("the credential ended before it was renewed")
			}
		}
		p.cancel()
		synctest.Wait()
		if err := <-p.ended; err != nil || p.agent.Status().State != AgentStopped {
			t.Errorf("told to stop: %v, %+v", err, p.agent.Status())
		}
	})
}

func TestDevicesThatWereSwitchedOnTogetherDoNotRenewTogether(t *testing.T) {
	at := map[time.Duration]bool{}
	for range 10 {
		playing(t, AgentOptions{}, func(p *play) {
			p.after(0)
			p.after(lifetime - renewBefore + spread + time.Second)
			if len(p.visits) != 2 {
				t.Fatalf("%d visits", len(p.visits))
			}
			at[p.visits[1].Sub(p.visits[0])] = true
		})
	}
	if len(at) < 5 {
		t.Errorf("10 devices renew at %d different times", len(at))
	}
}

func TestRetriesBackOffWithChanceUpToABoundAndNeverEnd(t *testing.T) {
	gaps := map[time.Duration]bool{}
	for _, trouble := range []error{
		errors.New("dial tcp: connection refused"),
		&api.Error{Status: 503, Code: api.CodeInternal},
		&api.Error{Status: 403, Code: api.CodeSIMSuspended},
		&api.Error{Status: 404, Code: api.CodeUnknownSIM},
	} {
		playing(t, AgentOptions{}, func(p *play) {
			p.set(func() { p.answer = trouble })
			s := p.after(24 * time.Hour)
			if s.State != AgentRetrying || s.Failures != len(p.visits) || s.Problem == "" || s.Totals.Failed != len(p.visits) {
				t.Fatalf("%+v", s)
			}
			if n := len(p.visits); n < 24*60/15 || n > 24*60/15*2+15 {
				t.Errorf("%d visits in a day of %v", n, trouble)
			}
			for n := 1; n < len(p.visits); n++ {
				gap, bound := p.visits[n].Sub(p.visits[n-1]), min(firstRetry<<min(n-1, 20), lastRetry)
				if gap < bound/2 || gap >= bound {
					t.Errorf("%v after failure %d, want %v to %v", gap, n, bound/2, bound)
				}
				gaps[gap] = true
			}
			p.set(func() { p.answer = nil })
			if s := p.after(lastRetry); s.State != AgentReady || s.Failures != 0 || s.Problem != "" || s.Code != "" {
				t.Errorf("not well again: %+v", s)
			}
		})
	}
	if len(gaps) < 100 {
		t.Errorf("only %d different pauses: there is no chance in them", len(gaps))
	}
}

func TestRetryAfterIsHonouredAndBounded(t *testing.T) {
	for _, c := range []struct{ asked, least, most time.Duration }{
		{time.Second, firstRetry / 2, firstRetry}, // less than the agent waits anyway
		{time.Hour, time.Hour, 66 * time.Minute},
		{365 * 24 * time.Hour, longestAsk, longestAsk * 11 / 10},
	} {
		playing(t, AgentOptions{}, func(p *play) {
			p.set(func() {
				p.answer = &api.Error{Status: http.StatusTooManyRequests, Code: api.CodeTooManyRequests, RetryAfter: c.asked}
			})
			s := p.after(0)
			p.want(s, AgentRetrying, 1)
			if until := time.Until(s.NextAttempt); until < c.least-time.Second || until > c.most+time.Second || s.Code != api.CodeTooManyRequests {
				t.Errorf("asked for %v, waits %v: %+v", c.asked, until, s)
			}
			p.set(func() { p.answer = nil })
			p.after(c.most + time.Second)
			if gap := p.visits[1].Sub(p.visits[0]); gap < c.least || gap > c.most {
				t.Errorf("asked for %v, waited %v", c.asked, gap)
			}
		})
	}
}

func TestADefiniteRefusalEndsTheAgentAndIsTold(t *testing.T) {
	for _, code := range []api.Code{api.CodeSIMTerminated, api.CodeReenrolment} {
		playing(t, AgentOptions{}, func(p *play) {
			p.set(func() { p.answer = &api.Error{Status: 403, Title: "no", Code: code} })
			s := p.after(0)
			p.want(s, AgentRefused, 1)
			if err := <-p.ended; !errors.Is(err, ErrRefused) || !api.HasCode(err, code) {
				t.Errorf("ended with %v", err)
			}
			if s.Code != code || s.Problem == "" || !s.NextAttempt.IsZero() {
				t.Errorf("%+v", s)
			}
			p.want(p.after(365*24*time.Hour), AgentRefused, 1)
		})
	}
}

func TestTheAgentOutlivesItsSIM(t *testing.T) {
	playing(t, AgentOptions{Look: 5 * time.Minute}, func(p *play) {
		p.set(func() { p.gone = errors.New("no card in the reader") })
		p.want(p.after(time.Hour), AgentSIMAway, 0)
		p.set(func() { p.gone = nil })
		p.want(p.after(lastLook), AgentReady, 1)

		p.set(func() { p.gone = errors.New("the card was removed") })
		s := p.after(6 * time.Minute)
		p.want(s, AgentSIMAway, 1)
		if s.Problem != "the card was removed" || s.Totals.SIMLost != 1 || s.Credential == nil {
			t.Errorf("%+v", s)
		}
		p.set(func() { p.gone = nil })
		s = p.after(lastLook)
		p.want(s, AgentReady, 1) // the same SIM with a good credential: the platform is not bothered
		if s.Problem != "" || !s.NextAttempt.After(time.Now()) {
			t.Errorf("%+v", s)
		}

		p.set(func() { p.iccid, p.issued = otherSIM, time.Time{} })
		s = p.after(6 * time.Minute)
		p.want(s, AgentReady, 2) // another SIM is switched on
		if s.ICCID != string(otherSIM) {
			t.Errorf("%+v", s)
		}
	})
}

func TestASIMThatIsTakenOutInTheMiddleIsNoFaultOfThePlatform(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		p.set(func() { p.answer = errors.Join(ErrCard, errors.New("removed")) })
		p.want(p.after(0), AgentSIMAway, 1)
		p.set(func() { p.answer = nil })
		p.want(p.after(lastLook), AgentReady, 2)
	})
}

func TestASIMThatIsSwappedInTheMiddleOfAnOnboardingIsFollowedByTheOther(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		p.set(func() { p.answer = errors.Join(ErrCard, errors.New("removed")) })
		p.want(p.after(0), AgentSIMAway, 1)
		p.set(func() { p.answer, p.iccid = nil, otherSIM })
		s := p.after(lastLook)
		p.want(s, AgentReady, 2)
		if s.ICCID != string(otherSIM) || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestASIMInUseIsNoNewsUntilItIsDue(t *testing.T) {
	taken := errors.New("in use by the tunnel")
	playing(t, AgentOptions{Look: time.Minute, InUse: func(err error) bool { return errors.Is(err, taken) }}, func(p *play) {
		p.want(p.after(0), AgentReady, 1)
		p.set(func() { p.gone = taken })
		p.want(p.after(24*time.Hour), AgentReady, 1)
		p.want(p.after(lifetime-renewBefore), AgentSIMAway, 1)
		p.set(func() { p.gone = nil })
		p.want(p.after(lastLook), AgentReady, 2)
	})
}

func TestWithoutLookTheSIMIsLeftAlone(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		p.after(30 * 24 * time.Hour)
		if p.opened != 1 {
			t.Errorf("opened %d times", p.opened)
		}
	})
}

func TestAClockThatJumpsAheadRenewsAtOnceAndDoesNotBesiegeThePlatform(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		p.want(p.after(time.Hour), AgentReady, 1)
		p.set(func() { p.ahead = 10 * 365 * 24 * time.Hour })
		s := p.after(watchClock)
		p.want(s, AgentReady, 2)
		if s.Problem == "" {
			t.Error("a clock that is far ahead is not told of")
		}
		p.after(24 * time.Hour)
		if n := len(p.visits); n > 20 {
			t.Errorf("%d visits in a day with a wrong clock", n)
		}
		p.set(func() { p.ahead = 0 })
		before := len(p.visits)
		p.after(lastRetry) // sees that all is well
		if s := p.after(24 * time.Hour); s.Problem != "" || len(p.visits) > before+1 {
			t.Errorf("%d visits more after the clock was put right: %+v", len(p.visits)-before, s)
		}
	})
}

func TestAClockThatIsPutRightIsNoticed(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		p.set(func() { p.ahead = -30 * 365 * 24 * time.Hour }) // a device without a battery starts in the nineties
		s := p.after(0)
		p.want(s, AgentReady, 1)
		if s.Problem == "" {
			t.Error("a clock that is far behind is not told of")
		}
		p.set(func() { p.ahead = 0 })
		p.want(p.after(25*time.Hour), AgentReady, 2)
		if s := p.after(0); s.Problem != "" {
			t.Errorf("%+v", s)
		}
		p.want(p.after(24*time.Hour), AgentReady, 2)
	})
}

func TestAClockThatStaysBehindCostsNoCredential(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		p.want(p.after(time.Hour), AgentReady, 1)
		p.set(func() { p.ahead = -50 * 365 * 24 * time.Hour })
		p.after(lifetime - renewBefore + 2*spread)
		if len(p.visits) != 2 || !time.Now().Before(p.agent.Status().Credential.NotAfter) {
			t.Errorf("%d visits: %+v", len(p.visits), p.agent.Status())
		}
	})
}

func TestAStatusThatCannotBeWrittenIsToldAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no such folder")
		a := NewAgent(AgentOptions{Report: func(AgentStatus) error { return full }, Log: slog.New(slog.DiscardHandler)})
		if err := a.Run(t.Context()); !errors.Is(err, full) {
			t.Errorf("%v", err)
		}
	})
	playing(t, AgentOptions{}, func(p *play) {
		p.after(0)
		p.set(func() { p.unwritable = errors.New("disk full") })
		p.want(p.after(lifetime), AgentReady, 2)
	})
}

// claims are the SIMs that agents have.
type claims map[card.ICCID]bool

func (c claims) take(iccid card.ICCID) (io.Closer, error) {
	if c[iccid] {
		return nil, errors.New("in use by process 12")
	}
	c[iccid] = true
	return claim{c, iccid}, nil
}

type claim struct {
	of    claims
	iccid card.ICCID
}

func (c claim) Close() error {
	delete(c.of, c.iccid)
	return nil
}

func TestAnAgentHasItsSIMForItselfAndGivesItUpForAnother(t *testing.T) {
	held := claims{}
	playing(t, AgentOptions{Look: time.Minute, Claim: held.take}, func(p *play) {
		p.want(p.after(time.Hour), AgentReady, 1)
		if !held[aSIM] {
			t.Fatal("the SIM is anybody's")
		}
		p.set(func() { p.iccid, p.issued = otherSIM, time.Time{} })
		p.want(p.after(time.Minute), AgentReady, 2)
		if held[aSIM] || !held[otherSIM] {
			t.Errorf("after the swap: %v", held)
		}
		p.cancel()
		if err := <-p.ended; err != nil || len(held) != 0 {
			t.Errorf("after the end: %v, %v", held, err)
		}
	})
}

func TestASecondAgentOnOneSIMEndsWithAClearMessage(t *testing.T) {
	playing(t, AgentOptions{Claim: claims{aSIM: true}.take}, func(p *play) {
		p.want(p.after(0), AgentStopped, 0)
		err := <-p.ended
		if err == nil || err.Error() != "another agent looks after SIM "+string(aSIM)+": in use by process 12" {
			t.Errorf("%v", err)
		}
		if s := p.agent.Status(); s.Problem == "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestATrialThatFailsIsToldAndTriedAgain(t *testing.T) {
	playing(t, AgentOptions{}, func(p *play) {
		p.set(func() { p.answer = fmt.Errorf("onboard: %w: %w", ErrTrial, errors.New("bad certificate")) })
		s := p.after(time.Hour)
		if s.State != AgentRetrying || s.Code != api.CodeTrialFailed || s.Failures < 4 || s.Failures > 40 {
			t.Fatalf("%+v", s)
		}
		p.set(func() { p.answer = nil })
		if s := p.after(lastRetry); s.State != AgentReady || s.Code != "" {
			t.Errorf("%+v", s)
		}
	})
}
