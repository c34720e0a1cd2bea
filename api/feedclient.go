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
// with the header; the first event is the one after the given sequence number, or 1 for 0.
//
// It returns nil if the platform ends the stream between two lines, the error of fn if
// that fails, [context.Cause] of ctx if that ends, and otherwise what went wrong: a
// refusal ([Error]), [ErrFeedSilent], a line that is cut off, too long or none of the
// contract. It does not connect again: the caller knows from where to resume.
func (c *Client) Feed(ctx context.Context, after int64, fn func(FeedLine) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(3*FeedHeartbeat, func() { cancel(ErrFeedSilent) })
	defer silence.Stop()

	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
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
	for _, set := range []bool{line.Header != nil, line.Event != nil, line.Head != nil} {
		if set {
			parts++
		}
	}
	switch e := line.Event; {
	case parts != 1:
		return FeedLine{}, fmt.Errorf("platform: a line of the feed has %d parts, want exactly one of header, event and head", parts)
	case line.Header != nil && (line.Header.ID == "" || line.Header.Head < 0):
		return FeedLine{}, errors.New("platform: the feed's header lacks its ID or has a negative head")
	case e != nil && e.Seq < 1:
		return FeedLine{}, fmt.Errorf("platform: an event of the feed has the sequence number %d, want 1 or more", e.Seq)
	case e != nil && (e.SIM == nil) == (e.Credential == nil):
		return FeedLine{}, fmt.Errorf("platform: event %d of the feed must tell of either a SIM or a credential", e.Seq)
	}
	return line, nil
}
