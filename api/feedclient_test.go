package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// feedOf is a client whose platform answers every request with the given body.
func feedOf(body io.ReadCloser) *Client {
	base, _ := url.Parse("https://platform.example")
	return &Client{base: base, http: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		context.AfterFunc(r.Context(), func() { body.Close() })
		return &http.Response{StatusCode: http.StatusOK, Body: body, Request: r}, nil
	})}}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const (
	header = `{"header":{"id":"x","head":2}}` + "\n"
	first  = `{"event":{"seq":1,"time":"2026-01-01T00:00:00Z","sim":{"iccid":"8949000000000000001","fleet":"f","state":"seen","created":"2026-01-01T00:00:00Z","updated":"2026-01-01T00:00:00Z"}}}` + "\n"
)

func TestFeedHandsOutEveryLineInOrder(t *testing.T) {
	var got []FeedLine
	err := feedOf(io.NopCloser(strings.NewReader(header+first+`{"heartbeat":{"head":2,"time":"2026-01-01T00:00:00Z"}}`+"\n"))).Feed(t.Context(), nil, func(l FeedLine) error {
		got = append(got, l)
		return nil
	})
	if err != nil || len(got) != 3 || got[0].Header.ID != "x" || got[1].Event.SIM.State != Seen || got[2].Heartbeat.Head != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFeedRefusesWhatIsNoneOfTheContract(t *testing.T) {
	for name, body := range map[string]string{
		"empty":              "",
		"no header":          first,
		"two headers":        header + header,
		"cut line":           header + first[:30],
		"cut before newline": header + strings.TrimSuffix(first, "\n"),
		"too long":           header + `{"heartbeat":{"head":` + strings.Repeat(" ", MaxFeedLine) + "1}}\n",
		"no JSON":            header + "hello\n",
		"nothing set":        header + "{}\n",
		"two set":            header + `{"heartbeat":{"head":1},"header":{"id":"x","head":1}}` + "\n",
		"event of nothing":   header + `{"event":{"seq":1}}` + "\n",
		"event of two":       header + `{"event":{"seq":1,"sim":{},"credential":{}}}` + "\n",
		"state of nothing":   header + `{"state":{}}` + "\n",
		"head before seq":    `{"header":{"id":"x","seq":2,"head":1}}` + "\n",
		"event 0":            header + `{"event":{"seq":0,"sim":{}}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := feedOf(io.NopCloser(strings.NewReader(body))).Feed(t.Context(), nil, func(FeedLine) error { return nil }); err == nil {
				t.Error("was taken")
			}
		})
	}
}

func TestFeedEndsWithTheErrorOfItsReader(t *testing.T) {
	want := errors.New("enough")
	err := feedOf(io.NopCloser(strings.NewReader(header+first))).Feed(t.Context(), nil, func(l FeedLine) error {
		if l.Event != nil {
			return want
		}
		return nil
	})
	if err != want {
		t.Errorf("got %v", err)
	}
}

func TestFeedGivesUpASilentPlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		go io.WriteString(out, header)
		begin := time.Now()
		err := feedOf(in).Feed(t.Context(), nil, func(FeedLine) error { return nil })
		if !errors.Is(err, ErrFeedSilent) {
			t.Errorf("got %v, want ErrFeedSilent", err)
		}
		if waited := time.Since(begin); waited != 3*FeedHeartbeat {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestFeedGoesOnWhileHeartbeatsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		go func() {
			io.WriteString(out, header)
			for range 10 {
				time.Sleep(2 * FeedHeartbeat) // of the bubble's clock
				io.WriteString(out, `{"heartbeat":{"head":2,"time":"2026-01-01T00:00:00Z"}}`+"\n")
			}
			out.Close()
		}()
		lines := 0
		if err := feedOf(in).Feed(t.Context(), nil, func(FeedLine) error { lines++; return nil }); err != nil || lines != 11 {
			t.Errorf("got %d lines, %v", lines, err)
		}
	})
}

func TestFeedEndsWithItsContext(t *testing.T) {
	in, out := io.Pipe()
	go io.WriteString(out, header)
	ctx, cancel := context.WithCancelCause(t.Context())
	want := errors.New("closing time")
	err := feedOf(in).Feed(ctx, nil, func(FeedLine) error { cancel(want); return nil })
	if err != want {
		t.Errorf("got %v", err)
	}
}

func FuzzFeedLine(f *testing.F) {
	for _, seed := range []string{header, first, `{"heartbeat":{"head":2,"time":"2026-01-01T00:00:00Z"}}`, `{}`, `null`, `{"event":{"seq":1,"credential":{"id":"a","fingerprint":"AA=="}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		line, err := parseFeedLine(text)
		if err == nil && line.Event != nil && (line.Event.Seq < 1 || (line.Event.SIM == nil) == (line.Event.Credential == nil)) {
			t.Errorf("took %q", text)
		}
	})
}
