package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// silence is a connection on which no answer comes.
type silence struct{}

// script answers requests one after the other: with silence, an error, a status, the text of
// a good answer, or the headers of a refusal for now.
type script struct {
	steps  []any
	bodies []string
	times  []time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, string(body))
	s.times = append(s.times, time.Now())
	var step any = 200
	if len(s.steps) > 0 {
		step, s.steps = s.steps[0], s.steps[1:]
	}
	answer := &http.Response{StatusCode: 200, Header: http.Header{}, Request: r}
	var content any = RelayStep{Session: "s", Step: 2}
	switch step := step.(type) {
	case silence:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case error:
		return nil, step
	case string:
		answer.Body = io.NopCloser(strings.NewReader(step))
		return answer, nil
	case http.Header:
		answer.StatusCode, answer.Header = 429, step
		content = Error{Code: CodeTooManyRequests}
	case int:
		answer.StatusCode = step
		if step != 200 {
			content = Error{Code: CodeInternal}
		}
	}
	text, _ := json.Marshal(content)
	answer.Body = io.NopCloser(bytes.NewReader(text))
	return answer, nil
}

func scripted(t *testing.T, steps ...any) (*Client, *script) {
	t.Helper()
	c, err := NewClient("https://platform.example", ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &script{steps: steps}
	c.http.Transport = s
	return c, s
}

func TestALostAnswerMakesTheSameStepBeSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, errors.New("connection reset"), silence{}, 500, 503, `{"session":"s","st`)
		step, err := c.AnswerRelay(t.Context(), "s", RelayAnswers{Step: 1, Responses: [][]byte{{0x90, 0}}})
		if err != nil || step.Step != 2 {
			t.Fatalf("%+v, %v", step, err)
		}
		if len(s.bodies) != 6 {
			t.Fatalf("%d attempts, want 6", len(s.bodies))
		}
		for i, body := range s.bodies {
			if body != s.bodies[0] {
				t.Errorf("attempt %d sent %s, the first one %s", i+1, body, s.bodies[0])
			}
			if i > 0 && s.times[i].Sub(s.times[i-1]) < firstWait/2 {
				t.Errorf("attempt %d came after %s", i+1, s.times[i].Sub(s.times[i-1]))
			}
		}
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("no route")
		c, s := scripted(t, cause, cause, cause, cause, cause, cause, cause, cause)
		begun := time.Now()
		_, err := c.AnswerRelay(t.Context(), "s", RelayAnswers{})
		if !errors.Is(err, cause) || len(s.bodies) != relayAttempts {
			t.Errorf("%d attempts, %v", len(s.bodies), err)
		}
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("given up after %s", took)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, http.Header{"Retry-After": {"20"}})
		if _, err := c.OpenRelay(t.Context(), RelayOpen{}); err != nil {
			t.Fatal(err)
		}
		if pause := s.times[1].Sub(s.times[0]); pause != 20*time.Second {
			t.Errorf("came again after %s, want 20s", pause)
		}
		c, s = scripted(t, http.Header{"Retry-After": {strconv.Itoa(3600)}})
		var refusal *Error
		if _, err := c.OpenRelay(t.Context(), RelayOpen{}); !errors.As(err, &refusal) || refusal.RetryAfter != time.Hour || len(s.bodies) != 1 {
			t.Errorf("an hour's pause was not left to the caller: %v", err)
		}
	})
}

func TestWhatWillNotPassIsNotTriedAgain(t *testing.T) {
	for name, step := range map[string]any{
		"a refusal":              409,
		"an untrusted platform":  &tls.CertificateVerificationError{Err: errors.New("unknown authority")},
		"a request without form": 400,
	} {
		t.Run(name, func(t *testing.T) {
			c, s := scripted(t, step)
			if _, err := c.AnswerRelay(t.Context(), "s", RelayAnswers{}); err == nil || len(s.bodies) != 1 {
				t.Errorf("%d attempts, %v", len(s.bodies), err)
			}
		})
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, http.Header{"Retry-After": {"50"}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := c.OpenRelay(ctx, RelayOpen{}); err == nil || time.Since(begun) != time.Second || len(s.bodies) != 1 {
			t.Errorf("%v after %s and %d attempts", err, time.Since(begun), len(s.bodies))
		}
	})
}
