// Package relay carries out the switch-on walk: over an agent that sees only sealed
// commands, it opens a secure channel with a SIM's security domain and gives the SIM its
// credential.
//
// A session is a conversation of steps ([api.RelayStep], [api.RelayAnswers]). What happens in
// it is written as straight-line code, in walk.go; a session is that code as a
// coroutine, which runs only while a request is being served and sleeps, holding nothing
// but memory, while the card works.
//
// Sessions live in one process; package node lets agents reach them through others. One that is lost, to a restart or a time-out, costs
// nothing: the agent starts again, and the walk reads back what the SIM holds.
package relay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/campaign"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/registry"
)

// Limits on sessions.
const (
	maxSessions   = 10_000           // in all
	maxPerSIM     = 4                // that have not proved themselves yet, or linger
	idleTime      = 2 * time.Minute  // a session that nobody answers is forgotten
	lingerTime    = 10 * time.Second // and one that has ended, when its end can have been heard
	sweepInterval = time.Second      // at most so late
	serveTime     = 30 * time.Second
	minAID        = 5
	maxAID        = 16
	maxAnswerSize = 258 // 256 bytes of data and a status word
)

// Options are what a [Relay] works with.
type Options struct {
	Registry *registry.Registry
	Life     *credential.Life
	// Anchors are the certificates that are placed on SIMs as their trust anchors, at this moment.
	Anchors func() ca.Anchors
	// Campaigns say what else is wanted of a SIM that has come; nil: nothing.
	Campaigns Campaigns
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Node, if it is set, begins the names of the sessions, before a "-".
	Node string
}

// Campaigns are what the relay asks and tells of package campaign.
type Campaigns interface {
	Due(ctx context.Context, s api.SIM, active api.Credential) (campaign.Wish, error)
	Anchored(ctx context.Context, iccid, anchors string) error
	Failed(ctx context.Context, w campaign.Wish, iccid, problem string) error
}

// Relay holds the sessions. It is safe for concurrent use.
type Relay struct {
	o Options

	mu       sync.Mutex
	sessions map[string]*session
	bySIM    map[string][]*session // the same, by ICCID
	swept    time.Time             // when those that nobody will miss were looked for
}

// New returns a relay without sessions.
func New(o Options) *Relay {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Relay{o: o, sessions: map[string]*session{}, bySIM: map[string][]*session{}}
}

// Close forgets all sessions. An agent that goes on with one is told to start again.
func (r *Relay) Close() {
	r.mu.Lock()
	all := r.sessions
	r.sessions, r.bySIM = map[string]*session{}, map[string][]*session{}
	r.mu.Unlock()
	for _, s := range all {
		s.stop() // waits while it is being served: not under the lock
	}
}

// Open begins a session and returns its first step. It refuses a SIM that is unknown,
// suspended or terminated.
func (r *Relay) Open(ctx context.Context, request api.RelayOpen) (api.RelayStep, error) {
	if request.Version != api.RelayVersion {
		return api.RelayStep{}, refuse(http.StatusBadRequest, api.CodeBadRequest,
			"the agent speaks relay version %d, this platform speaks %d: update the older of the two", request.Version, api.RelayVersion)
	}
	iccid, err := card.ParseICCID(request.ICCID)
	if err != nil {
		return api.RelayStep{}, refuse(http.StatusBadRequest, api.CodeBadRequest, "%v", err)
	}
	if n := len(request.Applet); n < minAID || n > maxAID {
		return api.RelayStep{}, refuse(http.StatusBadRequest, api.CodeBadRequest, "applet: an AID of %d bytes: want %d to %d", n, minAID, maxAID)
	}
	sim, fleet, keys, err := r.o.Registry.Admit(ctx, request.ICCID)
	if err != nil {
		return api.RelayStep{}, err
	}
	s := newSession(sim.ICCID, r.o.Clock())
	if r.o.Node != "" {
		s.id = r.o.Node + "-" + s.id
	}
	s.start(&walk{
		registry: r.o.Registry, life: r.o.Life, anchors: r.o.Anchors(), campaigns: r.o.Campaigns, sim: sim, now: r.o.Clock,
		session: newID(), iccid: iccid, fleet: fleet, keys: keys, applet: request.Applet,
		canTry: request.Trial, canTryRenewal: request.Trial && request.TrialRenewal,
	})
	if err := r.admit(s); err != nil {
		s.stop()
		return api.RelayStep{}, err
	}
	step, err := s.advance(ctx, nil)
	if err != nil {
		r.drop(s)
	}
	return step, err
}

// Answer gives a session the card's answers and returns its next step. Repeating the
// answers of a step returns what was returned before.
func (r *Relay) Answer(ctx context.Context, id string, answers api.RelayAnswers) (api.RelayStep, error) {
	r.mu.Lock()
	s := r.sessions[id]
	r.mu.Unlock()
	if s == nil {
		return api.RelayStep{}, refuse(http.StatusNotFound, api.CodeUnknownSession,
			"this session is not known here: it has ended, or the platform was restarted; start the onboarding again")
	}
	defer func() { s.touch(r.o.Clock()) }()
	return s.answer(ctx, answers)
}

// admit makes a session known, if there is room for it, and lets go of those that nobody
// will miss.
func (r *Relay) admit(s *session) error {
	left, err := r.makeRoom(s)
	for _, other := range left {
		other.stop() // waits while it is being served: not under the lock
	}
	return err
}

// makeRoom is admit but for ending the sessions that it returns, which are known no more.
func (r *Relay) makeRoom(s *session) (left []*session, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Clock()
	if now.Sub(r.swept) >= sweepInterval || len(r.sessions) >= maxSessions {
		r.swept = now
		for _, other := range r.sessions {
			if other.stale(now) {
				left = append(left, other)
				r.forget(other)
			}
		}
	}
	if len(r.sessions) >= maxSessions {
		e := refuse(http.StatusTooManyRequests, api.CodeTooManyRequests, "too many onboardings at once: come again in a while")
		e.RetryAfter = 10 * time.Second
		return left, e
	}
	// A device that keeps losing power leaves sessions behind: the least recently used
	// makes room. A stranger who opens sessions for this SIM can push out only what has
	// been idle for longer than his own.
	if same := r.bySIM[s.iccid]; len(same) >= maxPerSIM {
		oldest := slices.MinFunc(same, func(a, b *session) int { return a.lastUse().Compare(b.lastUse()) })
		left = append(left, oldest)
		r.forget(oldest)
	}
	r.sessions[s.id], r.bySIM[s.iccid] = s, append(r.bySIM[s.iccid], s)
	return left, nil
}

// forget makes a session known no more.
func (r *Relay) forget(s *session) {
	delete(r.sessions, s.id)
	same := slices.DeleteFunc(r.bySIM[s.iccid], func(other *session) bool { return other == s })
	if r.bySIM[s.iccid] = same; len(same) == 0 {
		delete(r.bySIM, s.iccid)
	}
}

func (r *Relay) drop(s *session) {
	r.mu.Lock()
	r.forget(s)
	r.mu.Unlock()
	s.stop()
}

// refuse is a refusal that the agent's operator is to read.
func refuse(status int, code api.Code, format string, args ...any) *api.Error {
	return &api.Error{Status: status, Code: code, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// newID is an unguessable name of a session.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
