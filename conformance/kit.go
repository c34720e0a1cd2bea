package conformance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
)

// Test is one statement of the interface and the way to check it.
type Test struct {
	// ID names the test for good: the chapter and a few words ("3.13-sign-digest").
	ID string

	// Title is the statement.
	Title string

	// Chapter is where the interface description says so, and what else does.
	Chapter string

	// Needs is what a card must offer for the statement to concern it.
	Needs []Need

	// Destructive tells that the test changes a key on the card.
	Destructive bool

	// run panics with a verdict if the statement does not hold; see [Session].
	run func(*Session)
}

// Options choose what [Run] does. The zero value changes nothing on the card.
type Options struct {
	// Destructive allows tests that make key pairs and put public keys.
	Destructive bool

	// AID is the name of the applet; empty means the first known one that is found.
	AID []byte

	// Only, if not nil, chooses tests by their ID.
	Only *regexp.Regexp

	// SecretID and Secret name a secret key of the card whose value the caller knows.
	// It is never sent; with it the results of key derivation can be computed.
	SecretID iotsafe.ID
	Secret   []byte

	// Progress, if not nil, is called before each test with its place among total, from 0.
	Progress func(test Test, at, total int)
}

// Tests lists all tests in the order in which they run.
func Tests() []Test {
	return slices.Concat(
		selectionTests, channelTests, classTests,
		applicationTests, listTests, attributeTests, objectTests,
		randomTests, fileTests,
		generateTests, publicKeyTests, putTests,
		signTests, signModeTests, signRefusalTests, sessionTests,
		verifyTests, verifyRefusalTests,
		agreementTests, prfTests, hkdfTests, rsaTests, brainpoolTests,
		parameterTests, transportTests, recoveryTests,
	)
}

// Run selects the applet on a card and runs the tests against it. The error says that the
// card could not be tested (no applet, a reader that fails, a context that ended); what a card
// does wrong is in the report. On an error the report has what was found until then.
func Run(ctx context.Context, c card.Card, o Options) (Report, error) {
	if (o.SecretID == "") != (len(o.Secret) == 0) {
		return Report{}, errors.New("conformance: a known secret needs both its identifier and its value")
	}
	s := &Session{ctx: ctx, card: c, options: o}
	if err := s.open(); err != nil {
		return Report{}, err
	}
	defer s.close()
	report := Report{AID: Hex(s.aid), Type: s.cardType()}
	var chosen []Test
	for _, t := range Tests() {
		if o.Only == nil || o.Only.MatchString(t.ID) {
			chosen = append(chosen, t)
		}
	}
	for i, t := range chosen {
		if o.Progress != nil {
			o.Progress(t, i, len(chosen))
		}
		r, err := s.runTest(t)
		if err != nil {
			return report, fmt.Errorf("conformance: test %s: %w", t.ID, err)
		}
		report.Results = append(report.Results, r)
	}
	return report, nil
}

// runTest runs one test from a clean start. The error says that the card is out of reach.
func (s *Session) runTest(t Test) (Result, error) {
	r := Result{ID: t.ID, Title: t.Title, Chapter: t.Chapter, Outcome: Passed}
	if t.Destructive && !s.options.Destructive {
		r.Outcome, r.Reason = Skipped, "it changes keys on the card, which is not allowed (--destructive)"
		return r, nil
	}
	for _, n := range t.Needs {
		if reason := s.lacks(n); reason != "" {
			r.Outcome, r.Reason = Skipped, reason
			return r, nil
		}
	}
	unlock, err := s.lock()
	if err != nil {
		return r, err
	}
	defer unlock()
	began := time.Now()
	v := s.judge(func() {
		s.begin()
		t.run(s)
	})
	r.Duration = time.Since(began)
	if v == nil {
		return r, nil
	}
	if v.err != nil {
		return r, v.err
	}
	r.Outcome, r.Reason = v.outcome, v.reason
	if r.Outcome == Failed {
		r.Exchanges = slices.Clone(s.log)
	}
	return r, nil
}

// judge runs f and returns the verdict with which it ended early, if it did.
func (s *Session) judge(f func()) (v *verdict) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *verdict:
			v = p
		default:
			panic(p)
		}
	}()
	f()
	return nil
}
