package apdu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// script is a card that wants certain commands, in order.
type script struct {
	t     testing.TB
	steps []string // command, answer, command, …
}

func (s *script) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if len(s.steps) < 2 {
		s.t.Fatalf("unexpected command % X", command)
	}
	want, answer := unhex(s.t, s.steps[0]), unhex(s.t, s.steps[1])
	s.steps = s.steps[2:]
	if !bytes.Equal(command, want) {
		s.t.Fatalf("command % X: want % X", command, want)
	}
	return answer, nil
}

func TestExchangeCollectsTheWholeAnswer(t *testing.T) {
	read := Command{CLA: 0x81, INS: 0xCD, Data: []byte{0x85, 1, 3}}
	for name, c := range map[string]struct {
		command Command
		steps   []string
		want    string
	}{
		"at once":              {read, []string{"81CD000003850103", "AABB9000"}, "AABB 9000"},
		"waiting":              {read, []string{"81CD000003850103", "6102", "01C0000002", "AABB9000"}, "AABB 9000"},
		"data with 61xx":       {read, []string{"81CD000003850103", "AA6101", "01C0000001", "BB9000"}, "AABB 9000"},
		"in two parts":         {read, []string{"81CD000003850103", "6100", "01C0000000", "AA6101", "01C0000001", "BB63CF"}, "AABB 63CF"},
		"wrong Le for it":      {read, []string{"81CD000003850103", "6103", "01C0000003", "6C02", "01C0000002", "AABB9000"}, "AABB 9000"},
		"in the command's own": {read, []string{"81CD000003850103", "6102", "01C0000002", "6E00", "81C0000002", "AA6101", "81C0000001", "BB9000"}, "AABB 9000"},
		"refused twice":        {read, []string{"81CD000003850103", "6102", "01C0000002", "6D00", "81C0000002", "6D00"}, "6D00"},
		"wrong Le":             {Command{INS: 0xCB, Le: 68}, []string{"00CB000044", "6C02", "00CB000002", "AABB9000"}, "AABB 9000"},
		"never 6C with data":   {Command{INS: 0xCB, Data: []byte{1}, Le: 68}, []string{"00CB0000010144", "6C02"}, "6C02"},
		"on a high channel":    {Command{CLA: 0xC2, INS: 0xCB, Le: 68}, []string{"C2CB000044", "6102", "42C0000002", "AABB9000"}, "AABB 9000"},
		"of an old SIM":        {Command{CLA: 0xA0, INS: 0xA4, Data: []byte{0x3F, 0}}, []string{"A0A40000023F00", "9F02", "A0C0000002", "AABB9000"}, "AABB 9000"},
		"under a MAC":          {Command{CLA: 0x84, INS: 0xE2, Data: []byte{1}}, []string{"84E200000101", "6102", "00C0000002", "AABB9000"}, "AABB 9000"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{t, c.steps}
			r, err := Exchange(t.Context(), s, c.command)
			if err != nil || !bytes.Equal(r.Bytes(), unhex(t, c.want)) {
				t.Fatalf("% X, %v", r.Bytes(), err)
			}
			if len(s.steps) > 0 {
				t.Fatalf("not asked for: %v", s.steps)
			}
		})
	}
}

type endless struct{ rounds int }

func (e *endless) Transmit(context.Context, []byte) ([]byte, error) {
	e.rounds++
	return []byte{1, 0x61, 0x01}, nil
}

func TestACardThatNeverEndsIsGivenUp(t *testing.T) {
	e := &endless{}
	if r, err := Exchange(t.Context(), e, Command{INS: 0xCB}); err == nil {
		t.Fatalf("%d bytes", len(r.Data))
	}
	if e.rounds > 300 {
		t.Fatalf("only after %d rounds", e.rounds)
	}
}

type broken struct{}

func (broken) Transmit(context.Context, []byte) ([]byte, error) { return []byte{0x90}, nil }

func TestAnAnswerWithoutAStatusWordIsAnError(t *testing.T) {
	if _, err := Exchange(t.Context(), broken{}, Command{}); err == nil {
		t.Fatal("accepted")
	}
}

func TestARefusalIsAnErrorThatCanBeToldApart(t *testing.T) {
	_, err := Do(t.Context(), &script{t, []string{"00A4040001AA", "6A82"}}, Command{INS: 0xA4, P1: 4, Data: []byte{0xAA}})
	if err = fmt.Errorf("select: %w", err); !errors.Is(err, NotFound) || errors.Is(err, ConditionsNot) {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), "6A82") {
		t.Fatal(err)
	}
}

func TestWhatCountsAsSuccess(t *testing.T) {
	for sw, want := range map[SW]bool{OK: true, 0x910B: true, RemoteAdminDone: true, MoreData: false, 0x6100: false, ConditionsNot: false, 0x9F10: false, 0: false} {
		if sw.Succeeded() != want || (sw.Err() == nil) != want {
			t.Errorf("%04X", uint16(sw))
		}
	}
}
