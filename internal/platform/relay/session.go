package relay

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/campaign"
)

// session is one conversation. Its walk is a coroutine that yields commands.
type session struct {
	id, iccid string
	used      atomic.Int64 // Unix nanoseconds of the last request
	ended     atomic.Bool  // the walk is over; only its last answer is kept

	mu      sync.Mutex
	walk    *walk
	next    func() (o order, running bool)
	release func()

	step   api.RelayStep // what was answered last
	err    error         // or this
	served bool          // whether step or err is set
}

// order is what a walk wants of the agent: commands for the card, or a trial.
type order struct {
	commands [][]byte
	trial    *api.Credential
}

func newSession(iccid string, now time.Time) *session {
	s := &session{id: newID(), iccid: iccid}
	s.touch(now)
	return s
}

func (s *session) touch(now time.Time) { s.used.Store(now.UnixNano()) }
func (s *session) lastUse() time.Time  { return time.Unix(0, s.used.Load()) }

// stale tells whether nobody will miss the session.
func (s *session) stale(now time.Time) bool {
	idle := now.Sub(s.lastUse())
	return idle > idleTime || s.ended.Load() && idle > lingerTime
}

// start makes the walk ready to run.
func (s *session) start(w *walk) {
	s.walk = w
	s.next, s.release = iter.Pull(func(yield func(order) bool) {
		w.yield = yield
		w.result, w.err = w.run()
	})
}

// stop ends the walk wherever it stands.
func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release()
}

// answer checks answers against the step they belong to and runs the walk on.
func (s *session) answer(ctx context.Context, a api.RelayAnswers) (api.RelayStep, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.served && a.Step == s.step.Step-1:
		return s.step, s.err
	case s.served && s.err != nil:
		return api.RelayStep{}, s.err
	case a.Step != s.step.Step || s.step.Result != nil:
		return api.RelayStep{}, refuse(http.StatusConflict, api.CodeOutOfStep, "answers for step %d, but the session is at step %d", a.Step, s.step.Step)
	}
	if a.Failure != "" {
		s.release()
		s.ended.Store(true)
		s.err = refuse(http.StatusConflict, api.CodeCardRefused, "the agent could not reach the card; start again when it can")
		if s.step.Trial != nil {
			s.err = refuse(http.StatusConflict, api.CodeTrialFailed, "the new credential has not worked yet: the SIM goes on with the one it has; start again in a while")
		}
		s.step.Step++
		s.walk.failed(ctx, s.err)
		return api.RelayStep{}, s.err
	}
	if err := checkReport(s.step, a); err != nil {
		return api.RelayStep{}, err
	}
	return s.advanceLocked(ctx, a.Responses)
}

// checkReport tells whether a report answers a step.
func checkReport(step api.RelayStep, a api.RelayAnswers) error {
	switch {
	case step.Trial == nil && a.Worked:
		return refuse(http.StatusBadRequest, api.CodeBadRequest, "step %d is no trial", step.Step)
	case step.Trial == nil:
		return checkAnswers(step.Commands, a.Responses)
	case !a.Worked || len(a.Responses) > 0:
		return refuse(http.StatusBadRequest, api.CodeBadRequest, "step %d is a trial: report that it has worked, or a failure", step.Step)
	}
	return nil
}

// checkAnswers bounds what an agent may report: one answer to each command, or fewer if
// the last one is a refusal.
func checkAnswers(commands, responses [][]byte) error {
	if len(responses) == 0 || len(responses) > len(commands) {
		return refuse(http.StatusBadRequest, api.CodeBadRequest, "%d answers to %d commands", len(responses), len(commands))
	}
	for i, b := range responses {
		if len(b) > maxAnswerSize {
			return refuse(http.StatusBadRequest, api.CodeBadRequest, "answer %d has %d bytes: want at most %d", i+1, len(b), maxAnswerSize)
		}
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return refuse(http.StatusBadRequest, api.CodeBadRequest, "answer %d: %v", i+1, err)
		}
		if last := i == len(responses)-1; last && len(responses) < len(commands) && r.SW.Processed() {
			return refuse(http.StatusBadRequest, api.CodeBadRequest, "%d answers to %d commands, and the last one is no refusal", len(responses), len(commands))
		}
	}
	return nil
}

func (s *session) advance(ctx context.Context, responses [][]byte) (api.RelayStep, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.advanceLocked(ctx, responses)
}

// advanceLocked runs the walk up to its next commands or its end. What it does
// for the SIM must not stop halfway because an agent hung up, so the request's
// cancellation does not reach it.
func (s *session) advanceLocked(ctx context.Context, responses [][]byte) (api.RelayStep, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveTime)
	defer cancel()
	s.walk.ctx, s.walk.responses = ctx, responses
	o, running := s.next()
	s.walk.ctx, s.walk.responses = nil, nil

	next := api.RelayStep{Session: s.id, Step: s.step.Step + 1}
	s.err = nil
	switch {
	case running:
		next.Commands, next.Trial = o.commands, o.trial
	case s.walk.err != nil:
		s.err = s.walk.err
		s.walk.failed(ctx, s.err)
	case s.walk.result == nil: // stopped from outside
		s.err = sessionEnded()
	default:
		next.Result = s.walk.result
	}
	s.step, s.served = next, true
	s.ended.Store(!running)
	if s.err != nil {
		return api.RelayStep{}, s.err
	}
	return next, nil
}

// failed tells the campaign that wanted something of the SIM why it was not to be had. That it cannot
// be told does not matter: the SIM stays due.
func (w *walk) failed(ctx context.Context, why error) {
	if w.wish == (campaign.Wish{}) {
		return
	}
	problem := "the platform failed: see its log"
	var refusal *api.Error
	if errors.As(why, &refusal) {
		problem = refusal.Detail
	}
	_ = w.campaigns.Failed(context.WithoutCancel(ctx), w.wish, string(w.iccid), problem)
}

// sessionEnded is the refusal of what comes too late.
func sessionEnded() error {
	return refuse(http.StatusNotFound, api.CodeUnknownSession, "this session has ended; start the onboarding again")
}
