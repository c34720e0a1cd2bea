package iotsafe

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// script is a card that wants certain commands in order. A step is "command > answer";
// the answer "cut" is a transport failure.
type script struct {
	t     *testing.T
	steps []string
}

var errCut = errors.New("reader unplugged")

func (s *script) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(s.steps) == 0 {
		s.t.Fatalf("unexpected command %X", command)
	}
	want, answer, _ := strings.Cut(s.steps[0], ">")
	s.steps = s.steps[1:]
	if !bytes.Equal(command, unhex(s.t, want)) {
		s.t.Fatalf("command %X: want %s", command, want)
	}
	if strings.TrimSpace(answer) == "cut" {
		return nil, errCut
	}
	return unhex(s.t, answer), nil
}

// done fails the test if the card still wants commands.
func (s *script) done() {
	s.t.Helper()
	if len(s.steps) > 0 {
		s.t.Errorf("not sent: %s", strings.Join(s.steps, "; "))
	}
}

// selected is a client on channel 1 of a card that then wants the given steps.
func selected(t *testing.T, steps ...string) (*Applet, *script) {
	t.Helper()
	s := &script{t, []string{"0070000001 > 01 9000", "01A4040007A0000005590010 > 9000"}}
	a, err := Select(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.done()
	s.steps = steps
	t.Cleanup(s.done)
	return a, s
}

// settled is like selected, after the card has shown that it takes class 8n.
func settled(t *testing.T, steps ...string) (*Applet, *script) {
	t.Helper()
	a, s := selected(t)
	a.settled = true
	s.steps = steps
	return a, s
}
