package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// MaxFeedLine is the longest line of a feed, in bytes.
const MaxFeedLine = 64 << 10

// ErrFeedSilent is the reason why [Client.Feed] gave up a connection on which nothing
// came for three times [FeedHeartbeat]: the platform or the path to it is dead.
var ErrFeedSilent = errors.New("platform: the feed fell silent")

// Feed makes one connection to the feed and calls fn for every line, in order, beginning
// with the header. The feed goes on from the given position, or begins with the state if that
// is nil.
//
// It returns nil if the platform ends the stream between two lines, the error of fn if
// that fails, [context.Cause] of ctx if that ends, and otherwise what went wrong: a
// refusal ([Error]; [CodeFeedHistory] if the position is not in the platform's history), [ErrFeedSilent], a line that is cut off, too long or none of the
// contract. It does not connect again: the caller knows from where to resume.
func (c *Client) Feed(ctx context.Context, from *FeedPosition, fn func(FeedLine) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(3*FeedHeartbeat, func() { cancel(ErrFeedSilent) })
	defer silence.Stop()

	query := url.Values{"state": {"true"}}
	if from != nil {
		query = url.Values{"after": {strconv.FormatInt(from.Seq, 10)}, "id": {from.ID}, "mark": {from.Mark}}
	}
	answer, err := c.send(ctx, http.MethodGet, PathFeed, query, "", nil)
	if err != nil {
		return feedError(ctx, err)
	}
	defer answer.Body.Close()

	lines := bufio.NewReaderSize(answer.Body, MaxFeedLine)
	for first := true; ; first = false {
		text, err := lines.ReadSlice('\n')
		switch {
		case err == io.EOF && len(text) == 0:
			if first {
				return errors.New("platform: the feed ended before its header")
			}
			return nil
		case err == io.EOF:
			return fmt.Errorf("platform: the feed was cut in the middle of a line: %w", io.ErrUnexpectedEOF)
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("platform: the feed holds a line of more than %d bytes", MaxFeedLine)
		case err != nil:
			return feedError(ctx, err)
		}
		line, err := parseFeedLine(text)
		if err != nil {
			return err
		}
		if first != (line.Header != nil) {
			return errors.New("platform: the feed must begin with its header, and hold no other")
		}
		// What fn takes is not the platform's silence.
		silence.Stop()
		if err := fn(line); err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		silence.Reset(3 * FeedHeartbeat)
	}
}

// feedError prefers the reason why ctx ended over the error that its end caused.
func feedError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("platform: feed: %w", err)
}

// parseFeedLine reads one line and checks that it says exactly one thing.
func parseFeedLine(text []byte) (FeedLine, error) {
	var line FeedLine
	if err := json.Unmarshal(text, &line); err != nil {
		return FeedLine{}, fmt.Errorf("platform: a line of the feed is not what this version expects: %w", err)
	}
	parts := 0
	for _, set := range []bool{line.Header != nil, line.State != nil, line.Event != nil, line.Skipped != nil, line.Heartbeat != nil} {
		if set {
			parts++
		}
	}
	if parts != 1 {
		return FeedLine{}, fmt.Errorf("platform: a line of the feed has %d parts, want exactly one of header, state, event, skipped and heartbeat", parts)
	}
	if h := line.Header; h != nil && (h.ID == "" || h.Seq < 0 || h.Head < h.Seq) {
		return FeedLine{}, errors.New("platform: the feed's header lacks its ID or has a head before its position")
	}
	if h := line.Heartbeat; h != nil && h.Head < 0 {
		return FeedLine{}, errors.New("platform: a heartbeat of the feed has a negative head")
	}
	if e := line.Event; e != nil && e.Seq < 1 {
		return FeedLine{}, fmt.Errorf("platform: an event of the feed has the sequence number %d, want 1 or more", e.Seq)
	}
	if s := line.Skipped; s != nil && s.Seq < 1 {
		return FeedLine{}, fmt.Errorf("platform: the feed skips to the sequence number %d, want 1 or more", s.Seq)
	}
	for _, e := range []*Event{line.State, line.Event} {
		if e != nil && (e.SIM == nil) == (e.Credential == nil) {
			return FeedLine{}, fmt.Errorf("platform: event %d of the feed must tell of either a SIM or a credential", e.Seq)
		}
	}
	return line, nil
}
