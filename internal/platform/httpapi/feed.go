package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/token"
)

// feedBatch is how many events are read at once.
const feedBatch = 1000

type feedInput struct {
	State bool   `query:"state" doc:"Begin with the present state of everything."`
	After int64  `query:"after" minimum:"0" doc:"Otherwise: the sequence number of the last event that is known already; 0 for none."`
	ID    string `query:"id" maxLength:"64" doc:"The history that it belongs to: the id of the header under which it came."`
	Mark  string `query:"mark" maxLength:"64" doc:"Its mark."`
}

type feedOutput struct{ Body func(huma.Context) }

func (s *Server) addFeed() {
	add(s, huma.Operation{
		OperationID: "follow-feed", Method: http.MethodGet, Path: api.PathFeed, Tags: []string{tagFeed},
		Summary: "Follow the changes of SIMs and credentials",
		Description: "Newline-delimited JSON, one FeedLine a line, that does not end: a header, if asked for the present state and then a heartbeat, " +
			"every event after the position that is given or that the header names, in the order of their commits, further ones as they happen, " +
			"and at least every 5 seconds a heartbeat. Who may know some fleets only is told of these. A position that is not in the platform's history is refused with the code feed_history.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The stream",
			Content: map[string]*huma.MediaType{"application/x-ndjson": {
				Schema: s.schemaOf(api.FeedLine{}),
			}},
		}},
	}, appserverOnly, func(ctx context.Context, in *feedInput) (*feedOutput, error) {
		from, err := s.feedStart(ctx, in)
		if err != nil {
			return nil, err
		}
		return &feedOutput{func(ctx huma.Context) {
			_, w := humago.Unwrap(ctx)
			s.stream(ctx.Context(), w, from, in.State)
		}}, nil
	})
}

// feedStart is the position from which the events come.
func (s *Server) feedStart(ctx context.Context, in *feedInput) (api.FeedPosition, error) {
	if in.State {
		return s.services.Feed.Position(ctx)
	}
	from := api.FeedPosition{ID: in.ID, Seq: in.After, Mark: in.Mark}
	err := s.services.Feed.Check(ctx, from)
	if errors.Is(err, feed.ErrHistory) {
		return from, refuse.With(api.CodeFeedHistory, http.StatusConflict,
			"event %d of history %q is not one of this platform, which was restored from a backup or replaced: take the present state (state=true)", in.After, in.ID)
	}
	from.ID = s.services.Feed.ID()
	return from, err
}

// stream writes the feed until the client or the server goes.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, after api.FeedPosition, state bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.serving, cancel)()

	defer s.watch.Follows()()
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Time{}) // the server's would end the stream
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)

	source := s.services.Feed
	who := principal(ctx)
	out := newBurst(w, connection)
	out.line(api.FeedLine{Header: &api.FeedHeader{FeedPosition: after, Head: max(source.Head(), after.Seq), Time: time.Now().UTC(), CAs: s.caDigest(), State: state}})
	if state {
		err := source.State(ctx, time.Now(), func(page []api.Event) error {
			return s.state(ctx, who, page, out)
		})
		if err != nil {
			s.feedFailed(ctx, out, err)
			return
		}
		out.line(s.heartbeat())
	}
	welcome := time.Now()
	for {
		if now := time.Now(); now.Sub(welcome) >= welcomeEvery {
			if err := again(ctx); err != nil {
				return // who comes again is told why
			}
			welcome = now
		}
		events, err := source.Read(ctx, after, feedBatch)
		if err != nil {
			s.feedFailed(ctx, out, err)
			return // the follower comes again
		}
		// An event can be read a moment before it is the head. Whoever had it already then
		// would take the lower head for that of another history.
		head := source.Head()
		for len(events) > 0 && events[len(events)-1].Seq > head {
			events = events[:len(events)-1]
		}
		there, err := s.shows(ctx, who, events...)
		if err != nil {
			s.feedFailed(ctx, out, err)
			return
		}
		var skipped *api.Skipped
		for i := range events {
			after.Seq, after.Mark = events[i].Seq, events[i].Mark
			if !there[i] {
				skipped = &api.Skipped{Seq: after.Seq, Mark: after.Mark}
				continue
			}
			if skipped != nil {
				out.line(api.FeedLine{Skipped: skipped})
				skipped = nil
			}
			out.line(api.FeedLine{Event: &events[i]})
		}
		if skipped != nil {
			out.line(api.FeedLine{Skipped: skipped})
		}
		if out.flush() != nil {
			return
		}
		if len(events) == feedBatch {
			continue
		}
		if !s.await(ctx, after.Seq) {
			if ctx.Err() != nil {
				return
			}
			out.line(s.heartbeat())
		}
	}
}

// welcomeEvery is how often a follower's token or certificate is looked at again, so that the feed of
// one that is withdrawn or expires ends within that time and a heartbeat.
const welcomeEvery = time.Second

// state writes those of a page's lines that the principal may see. A credential of its fleets may be in a
// SIM that was moved to another, whose line then comes with it.
func (s *Server) state(ctx context.Context, p token.Principal, page []api.Event, out *burst) error {
	all := len(p.Fleets) == 0
	fleets := map[string]store.SIMFleets{}
	if !all {
		var holders []string // of the credentials that need a look at their SIM
		for _, e := range page {
			if c := e.Credential; c != nil && (p.Sees(c.Fleet) || !c.State.Final()) {
				holders = append(holders, c.ICCID)
			}
		}
		slices.Sort(holders)
		var err error
		if fleets, err = s.services.Registry.FleetsOf(ctx, slices.Compact(holders)); err != nil {
			return err
		}
	}
	for i := range page {
		e := &page[i]
		there := all
		switch c := e.Credential; {
		case there:
		case c == nil:
			there = p.Sees(e.SIM.Fleet)
		case p.Sees(c.Fleet) || !c.State.Final():
			present := fleets[c.ICCID].Present
			there = p.Sees(c.Fleet) || p.Sees(present)
			if there && !p.Sees(present) {
				sim, err := s.services.Registry.SIM(ctx, c.ICCID)
				if err != nil {
					return err
				}
				out.line(api.FeedLine{State: &api.Event{Time: sim.Updated, SIM: &sim}})
			}
		}
		if there {
			out.line(api.FeedLine{State: e})
		}
	}
	return out.flush()
}

func (s *Server) heartbeat() api.FeedLine {
	return api.FeedLine{Heartbeat: &api.Heartbeat{Head: s.services.Feed.Head(), Time: time.Now().UTC(), CAs: s.caDigest()}}
}

func (s *Server) caDigest() string {
	return api.CADigest(s.services.Authority.Anchors(), s.services.Authority.Issuers())
}

// feedFailed logs why a feed ends, unless that is the client or the server.
func (s *Server) feedFailed(ctx context.Context, out *burst, err error) {
	if ctx.Err() == nil && out.err == nil {
		s.log.ErrorContext(ctx, "feed", "request", requestID(ctx), "error", err)
	}
}

// await waits for an event after the given one, and tells whether it came before a
// heartbeat was due.
func (s *Server) await(ctx context.Context, after int64) bool {
	ctx, cancel := context.WithTimeout(ctx, heartbeatEvery)
	defer cancel()
	return s.services.Feed.Wait(ctx, after) == nil
}

// heartbeatEvery leaves room for the way to the client.
const heartbeatEvery = api.FeedHeartbeat - 500*time.Millisecond

// burst collects lines that go out together. Its first error stays.
type burst struct {
	connection *http.ResponseController
	buffer     *bufio.Writer
	lines      *json.Encoder
	err        error
}

func newBurst(w http.ResponseWriter, connection *http.ResponseController) *burst {
	buffer := bufio.NewWriterSize(w, 32<<10)
	return &burst{connection: connection, buffer: buffer, lines: json.NewEncoder(buffer)}
}

func (b *burst) line(l api.FeedLine) {
	if b.err != nil {
		return
	}
	if b.buffer.Buffered() == 0 {
		// A client that takes nothing for so long is gone.
		b.err = b.connection.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	if b.err == nil {
		b.err = b.lines.Encode(l)
	}
}

func (b *burst) flush() error {
	if b.err == nil && b.buffer.Buffered() > 0 {
		if b.err = b.buffer.Flush(); b.err == nil {
			b.err = b.connection.Flush()
		}
	}
	return b.err
}
