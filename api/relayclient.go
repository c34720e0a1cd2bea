package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// How long the relay's client tries to get one step across. Together with the waits
// between them, the attempts bridge a restart of the platform.
const (
	relayAttempts = 6
	firstWait     = 200 * time.Millisecond
	longestWait   = 5 * time.Second
	longestRetry  = time.Minute // a longer Retry-After is for the caller to obey
	// A platform works for at most 30 s on a step; an attempt that takes longer hangs on
	// a connection that is dead.
	attemptTime = 45 * time.Second
)

// OpenRelay opens a relay session and returns its first step. Opening again after a lost
// answer is harmless: the session that nobody answers is forgotten.
func (c *Client) OpenRelay(ctx context.Context, open RelayOpen) (RelayStep, error) {
	return persist(ctx, func(ctx context.Context) (RelayStep, error) {
		return post[RelayStep](ctx, c, PathRelay, open)
	})
}

// AnswerRelay reports what the card answered and returns the next step. If the platform's
// answer is lost, by the network or by an error inside the platform, the same report is
// sent again, a few times and with growing pauses; the platform answers a repetition
// with the same step, and so nothing is done to the card twice.
func (c *Client) AnswerRelay(ctx context.Context, session string, answers RelayAnswers) (RelayStep, error) {
	return persist(ctx, func(ctx context.Context) (RelayStep, error) {
		return post[RelayStep](ctx, c, item(PathRelay, session), answers)
	})
}

// persist calls try until it succeeds, fails for good, or has failed too often.
func persist(ctx context.Context, try func(context.Context) (RelayStep, error)) (RelayStep, error) {
	wait := firstWait
	for attempt := 1; ; attempt++ {
		bounded, cancel := context.WithTimeout(ctx, attemptTime)
		step, err := try(bounded)
		cancel()
		if err == nil {
			return step, nil
		}
		pause, passing := passes(err)
		if !passing || ctx.Err() != nil {
			return RelayStep{}, err
		}
		if attempt == relayAttempts {
			return RelayStep{}, fmt.Errorf("given up after %d attempts: %w", attempt, err)
		}
		// Half of the wait is chance, so that devices which lost the platform together do
		// not come back together.
		pause = max(pause, wait/2+rand.N(wait/2))
		wait = min(2*wait, longestWait)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return RelayStep{}, err
		}
	}
}

// passes tells whether an error may be gone at the next attempt, and how long the platform
// wants to be left alone until then.
func passes(err error) (pause time.Duration, passing bool) {
	var refusal *Error
	if errors.As(err, &refusal) {
		passing = refusal.Status >= 500 || refusal.Status == 429
		return refusal.RetryAfter, passing && refusal.RetryAfter <= longestRetry
	}
	var untrusted *tls.CertificateVerificationError
	return 0, !errors.As(err, &untrusted)
}
