package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
)

// ErrRefused says that the platform has refused a SIM for good: it is terminated, or its
// credential was revoked and its fleet allows no new one. It is wrapped together with the
// platform's answer.
var ErrRefused = errors.New("the platform refuses this SIM for good")

// How an [Agent] waits.
const (
	firstRetry = 2 * time.Second  // after a first failure
	lastRetry  = 15 * time.Minute // at most, if the server asks for no more
	lastLook   = time.Minute      // for a SIM that is away: looking costs nobody else anything
	longestAsk = 24 * time.Hour   // of what a server may ask for, so that a mistake of its does not silence a fleet
	watchClock = 5 * time.Minute  // how soon a clock that was set is noticed
	spread     = time.Hour        // at most, of the chance in renewals
	visitTime  = 15 * time.Minute // for one attempt, on the slowest line
	clockError = 5 * time.Minute  // between device and platform that nobody needs to hear of
)

// AgentSIM is what an [Agent] does with a SIM. A [Device] is one.
type AgentSIM interface {
	ICCID() card.ICCID
	Onboard(ctx context.Context, platform Platform) (Onboarding, error)
	Close() error
}

// AgentOptions say what an [Agent] works with.
type AgentOptions struct {
	// Open opens the SIM. The agent closes it after each use, so that others may have it
	// meanwhile.
	Open func(context.Context) (AgentSIM, error)

	Platform Platform

	// Look is how often the agent looks for the SIM between onboardings, to tell if it is
	// away and to switch on another that was put in its place. 0: never.
	Look time.Duration

	// InUse tells, of an error of Open, that the SIM is there and somebody else has it, which
	// is no news when the agent only looks. nil: nobody else ever has it.
	InUse func(error) bool

	// Claim takes a SIM for this agent, so that no other looks after it too; what it returns
	// is closed when the agent ends or meets another SIM. If it fails, Run does. nil: nobody
	// else would.
	Claim func(card.ICCID) (io.Closer, error)

	// Report is told each new status. If the first report fails, so does Run; a later
	// failure is only logged. nil: nobody is told.
	Report func(AgentStatus) error

	Log *slog.Logger

	// Now is the wall clock, which may jump; nil means time.Now. Waiting is always done on
	// the monotonic one.
	Now func() time.Time
}

// Agent keeps a SIM's credential good: it switches the SIM on, comes again when the platform
// said, and never gives up on what may pass. Wherever it is stopped, the SIM keeps the
// credential it had.
type Agent struct {
	AgentOptions

	mu     sync.Mutex
	status AgentStatus

	// Of Run alone.
	iccid    card.ICCID    // of the SIM that the plan below is for; "" if none was onboarded
	dueAt    time.Time     // by the wall clock
	dueIn    time.Duration // after visited, by the monotonic clock, whatever the other says
	visited  time.Time
	early    int // visits in a row after which the plan was due at once
	away     int // times in a row that the SIM could not be opened
	reported bool
	claimed  card.ICCID // "" if none
	claim    io.Closer
}

// NewAgent returns an agent, which does nothing before [Agent.Run].
func NewAgent(o AgentOptions) *Agent {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.InUse == nil {
		o.InUse = func(error) bool { return false }
	}
	if o.Report == nil {
		o.Report = func(AgentStatus) error { return nil }
	}
	return &Agent{AgentOptions: o, status: AgentStatus{State: AgentStarting, Since: stamp(o.Now())}}
}

// Status is how the agent is doing.
func (a *Agent) Status() AgentStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// Run works until ctx ends, and returns nil then. Before that it fails only if the platform
// refuses the SIM for good, with [ErrRefused], if another agent has the SIM, or if its first
// status cannot be reported.
func (a *Agent) Run(ctx context.Context) error {
	defer a.release()
	if err := a.tell(func(*AgentStatus) {}); err != nil {
		return fmt.Errorf("report the agent's status: %w", err)
	}
	for ctx.Err() == nil {
		var wait time.Duration
		var err error
		if wait, err = a.visit(ctx); err != nil {
			return err
		}
		if ctx.Err() == nil {
			a.rest(ctx, wait)
		}
	}
	_ = a.tell(func(s *AgentStatus) { s.enter(AgentStopped, a.now()); s.NextAttempt = time.Time{} })
	return nil
}

// visit opens the SIM and onboards it if that is due. It returns how long to wait for the next
// visit; 0 stands for as long as the plan says.
func (a *Agent) visit(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	sim, err := a.Open(ctx)
	if err != nil {
		return a.noSIM(ctx, err), nil
	}
	defer func() {
		if err := sim.Close(); err != nil {
			a.Log.Debug("closing the SIM failed", "error", err)
		}
	}()
	a.away = 0
	if err := a.own(sim.ICCID()); err != nil {
		return 0, err
	}
	if sim.ICCID() == a.iccid && !a.due() {
		a.isBack()
		return 0, nil
	}
	return a.onboard(ctx, sim)
}

// own claims a SIM, and gives up the one before it.
func (a *Agent) own(iccid card.ICCID) error {
	if a.Claim == nil || a.claimed == iccid {
		return nil
	}
	a.release()
	claim, err := a.Claim(iccid)
	if err != nil {
		err = fmt.Errorf("another agent looks after SIM %s: %w", iccid, err)
		_ = a.tell(func(s *AgentStatus) {
			s.enter(AgentStopped, a.now())
			s.ICCID, s.Problem = string(iccid), err.Error()
		})
		return err
	}
	a.claimed, a.claim = iccid, claim
	return nil
}

func (a *Agent) release() {
	if a.claim == nil {
		return
	}
	if err := a.claim.Close(); err != nil {
		a.Log.Warn("the SIM's lock could not be given back", "iccid", a.claimed, "error", err)
	}
	a.claimed, a.claim = "", nil
}

// noSIM is what happens when the SIM cannot be opened.
func (a *Agent) noSIM(ctx context.Context, err error) time.Duration {
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0 // told to stop, which is nothing to tell of a SIM
	}
	if a.InUse(err) && a.iccid != "" && !a.due() {
		return 0
	}
	a.away++
	wait := chance(a.away, lastLook)
	first := a.Status().State != AgentSIMAway
	if first {
		a.Log.Warn("the SIM is away; it is used as soon as it is back", "error", err)
	}
	_ = a.tell(func(s *AgentStatus) {
		if first && a.iccid != "" {
			s.Totals.SIMLost++
		}
		s.enter(AgentSIMAway, a.now())
		s.Problem, s.Code = err.Error(), ""
		s.NextAttempt = stamp(a.Now().Add(wait))
	})
	return wait
}

// isBack notes that all is as it was, if it was thought to be otherwise.
func (a *Agent) isBack() {
	s := a.Status()
	a.early = 0
	problem := s.clockProblem(a.now())
	if s.State == AgentReady && s.Problem == problem {
		return
	}
	if s.State == AgentSIMAway {
		a.Log.Info("the SIM is back", "iccid", a.iccid)
	}
	_ = a.tell(func(s *AgentStatus) {
		s.enter(AgentReady, a.now())
		s.Problem, s.Code, s.NextAttempt = problem, "", stamp(a.dueAt)
	})
}

// onboard does one onboarding and plans the next.
func (a *Agent) onboard(ctx context.Context, sim AgentSIM) (time.Duration, error) {
	_ = a.tell(func(s *AgentStatus) {
		if s.ICCID != string(sim.ICCID()) {
			s.ICCID, s.Credential, s.RenewAt, s.Failures = string(sim.ICCID()), nil, time.Time{}, 0
		}
		s.enter(AgentOnboarding, a.now())
		s.LastAttempt, s.NextAttempt = a.now(), time.Time{}
		s.Totals.Attempts++
	})
	done, err := sim.Onboard(ctx, a.Platform)
	if err != nil {
		return a.failed(ctx, done, err)
	}
	return a.succeeded(sim.ICCID(), done), nil
}

// failed decides what becomes of a failed onboarding.
func (a *Agent) failed(ctx context.Context, done Onboarding, err error) (time.Duration, error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0, nil // told to stop
	}
	var refusal *api.Error
	errors.As(err, &refusal)
	wait := chance(a.Status().Failures+1, lastRetry)
	state, code := AgentRetrying, api.Code("")
	if refusal != nil {
		code = refusal.Code
	}
	switch {
	case definite(refusal):
		state, wait, err = AgentRefused, 0, fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, ErrTrial):
		code = api.CodeTrialFailed
	case errors.Is(err, ErrCard):
		state = AgentSIMAway
		wait = min(wait, lastLook)
	case refusal != nil && refusal.RetryAfter > 0:
		// Who was told the same time must not come at the same time.
		asked := min(refusal.RetryAfter, longestAsk)
		wait = max(wait, asked+rand.N(asked/10+1))
	}
	a.Log.Warn("the onboarding failed", "error", err, "again_in", wait.Round(time.Second))
	_ = a.tell(func(s *AgentStatus) {
		s.enter(state, a.now())
		s.Problem, s.Code = err.Error(), code
		s.Failures++
		s.Totals.add(done)
		s.Totals.Failed++
		if state == AgentSIMAway {
			s.Totals.SIMLost++
		}
		if state != AgentRefused {
			s.NextAttempt = stamp(a.Now().Add(wait))
		}
	})
	if state == AgentRefused {
		return 0, err
	}
	return wait, nil
}

// definite tells whether a refusal will be the same tomorrow. A suspended SIM may be resumed, an
// unknown one imported, and what is wrong with a request or a card may be put right at the
// platform.
func definite(refusal *api.Error) bool {
	return refusal != nil && (refusal.Code == api.CodeSIMTerminated || refusal.Code == api.CodeReenrolment)
}

// succeeded plans the renewal of the credential that the SIM holds now.
func (a *Agent) succeeded(iccid card.ICCID, done Onboarding) time.Duration {
	c := done.Credential
	now := a.now()
	a.iccid, a.visited = iccid, time.Now()
	// A fleet that was switched on in one night is not to renew in one minute.
	a.dueAt = done.RenewAt.Add(rand.N(min(spread, max(0, c.NotAfter.Sub(done.RenewAt)/10)) + 1))
	// The credential began no later than now, so this is the longest that its renewal may be
	// away, whatever a wrong clock says.
	a.dueIn = a.dueAt.Sub(c.NotBefore)
	if now.Add(clockError).Before(c.NotBefore) {
		a.dueIn = min(a.dueIn, longestAsk) // a clock that is behind does not tell how old the credential is
	}
	var wait time.Duration
	if a.early++; !a.due() {
		a.early = 0
	} else {
		// The platform has just said that it is not. To come again at once would be a siege, and
		// to come every day is enough for a credential that is long good after it is due.
		most := min(longestAsk, c.NotAfter.Sub(done.RenewAt)/10)
		wait = chance(a.early+4, max(lastRetry, most))
	}
	_ = a.tell(func(s *AgentStatus) {
		s.enter(AgentReady, now)
		s.Credential = &AgentCredential{ID: c.ID, Type: c.Type, Fleet: c.Fleet, Identity: c.Identity, NotBefore: c.NotBefore, NotAfter: c.NotAfter}
		s.RenewAt, s.LastSuccess = done.RenewAt, now
		s.Problem, s.Code, s.Failures = s.clockProblem(now), "", 0
		s.Totals.add(done)
		s.NextAttempt = stamp(a.dueAt)
		if wait > 0 {
			s.NextAttempt = stamp(now.Add(wait))
		}
	})
	a.Log.Info("the SIM holds a good credential", "iccid", iccid, "new", done.Changed, "credential", c.ID, "until", c.NotAfter, "renewal", stamp(a.dueAt))
	if problem := a.Status().Problem; problem != "" {
		a.Log.Warn(problem)
	}
	return wait
}

// clockProblem is what is wrong with the device's clock, as far as the credential shows it.
func (s *AgentStatus) clockProblem(now time.Time) string {
	switch {
	case s.Credential == nil:
		return ""
	case !now.Before(s.RenewAt.Add(spread)):
		return fmt.Sprintf("this device's clock seems to be ahead: it says %s, and the platform, which calls the credential good, expects it again at %s; set the clock",
			now.Format(time.RFC3339), s.RenewAt.UTC().Format(time.RFC3339))
	case now.Add(clockError).Before(s.Credential.NotBefore):
		return fmt.Sprintf("this device's clock is behind: it says %s, and the credential is good from %s; set the clock, or TLS will fail",
			now.Format(time.RFC3339), s.Credential.NotBefore.UTC().Format(time.RFC3339))
	}
	return ""
}

// due tells whether the platform is to be asked, by either clock.
func (a *Agent) due() bool {
	return a.iccid == "" || !a.now().Before(a.dueAt) || time.Since(a.visited) >= a.dueIn
}

// rest waits for the next visit: as long as wait says, or, if that is 0, until the renewal is
// due or it is time to look for the SIM. It wakes up between to read the wall clock, which
// may have been set.
func (a *Agent) rest(ctx context.Context, wait time.Duration) {
	if wait > 0 {
		pause(ctx, wait)
		return
	}
	began := time.Now()
	for ctx.Err() == nil && !a.due() {
		rested := time.Since(began)
		if a.Look > 0 && rested >= a.Look {
			return
		}
		next := min(watchClock, a.dueIn-time.Since(a.visited), max(a.dueAt.Sub(a.now()), time.Millisecond))
		if a.Look > 0 {
			next = min(next, a.Look-rested)
		}
		pause(ctx, next)
	}
}

// chance is how long to wait after the nth failure in a row: twice as long each time, up
// to a bound, and half of it is chance, so that devices which failed together do not
// come again together.
func chance(n int, bound time.Duration) time.Duration {
	wait := min(firstRetry<<min(n-1, 20), bound)
	return wait/2 + rand.N(wait/2)
}

func (a *Agent) now() time.Time { return stamp(a.Now()) }

// stamp is a time as it is told: by the wall clock, to the second's thousandth.
func stamp(t time.Time) time.Time { return t.Round(0).UTC().Truncate(time.Millisecond) }

// tell changes the status and reports it.
func (a *Agent) tell(change func(*AgentStatus)) error {
	a.mu.Lock()
	change(&a.status)
	s := a.status
	a.mu.Unlock()
	err := a.Report(s)
	if err != nil && a.reported {
		a.Log.Error("the agent's status cannot be reported", "error", err)
	}
	a.reported = true
	return err
}

func (s *AgentStatus) enter(state AgentState, now time.Time) {
	if s.State != state {
		s.State, s.Since = state, now
	}
}

func (t *AgentTotals) add(done Onboarding) {
	t.Commands += done.Commands
	t.Bytes += done.Bytes
	if done.Changed {
		t.Credentials++
	}
}
