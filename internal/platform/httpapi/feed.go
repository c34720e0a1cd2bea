package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
)

// feedBatch is how many events are read at once.
const feedBatch = 1000

type feedInput struct {
	After int64 `query:"after" minimum:"0" doc:"The sequence number of the last event that is known already; 0 for none."`
}

type feedOutput struct{ Body func(huma.Context) }

func (s *Server) addFeed() {
	add(s, huma.Operation{
		OperationID: "follow-feed", Method: http.MethodGet, Path: api.PathFeed, Tags: []string{tagFeed},
		Summary: "Follow the changes of SIMs and credentials",
		Description: "Newline-delimited JSON, one FeedLine a line, that does not end: a header, every event after the given one in the order of their commits, " +
			"further ones as they happen, and at least every 5 seconds a line with the head.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The stream",
			Content: map[string]*huma.MediaType{"application/x-ndjson": {
				Schema: s.schemaOf(api.FeedLine{}),
			}},
		}},
	}, appserverOnly, func(_ context.Context, in *feedInput) (*feedOutput, error) {
		return &feedOutput{func(ctx huma.Context) {
			_, w := humago.Unwrap(ctx)
			s.stream(ctx.Context(), w, in.After)
		}}, nil
	})
}

// stream writes the feed until the client or the server goes.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, after int64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.serving, cancel)()

	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Time{}) // the server's would end the stream
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)

	feed := s.services.Feed
	out := newBurst(w, connection)
	out.line(api.FeedLine{Header: &api.FeedHeader{ID: feed.ID(), Head: feed.Head()}})
	for {
		events, err := feed.Read(ctx, after, feedBatch)
		if err != nil {
			if ctx.Err() == nil {
				s.log.ErrorContext(ctx, "feed", "request", requestID(ctx), "after", after, "error", err)
			}
			return // the follower comes again
		}
		// An event can be read a moment before it is the head. Whoever had it already then
		// would take the lower head for that of another history.
		head := feed.Head()
		for len(events) > 0 && events[len(events)-1].Seq > head {
			events = events[:len(events)-1]
		}
		for i := range events {
			out.line(api.FeedLine{Event: &events[i]})
			after = events[i].Seq
		}
		if out.flush() != nil {
			return
		}
		if len(events) == feedBatch {
			continue
		}
		if !s.await(ctx, after) {
			if ctx.Err() != nil {
				return
			}
			head := feed.Head()
			out.line(api.FeedLine{Head: &head})
		}
	}
}

// await waits for an event after the given one, and tells whether it came before a
// heartbeat was due.
func (s *Server) await(ctx context.Context, after int64) bool {
	ctx, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	return s.services.Feed.Wait(ctx, after) == nil
}

// heartbeat leaves room for the way to the client.
const heartbeat = api.FeedHeartbeat - 500*time.Millisecond

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
