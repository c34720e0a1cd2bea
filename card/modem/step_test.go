package modem

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const (
	other   = "0084000002" // a GET RANDOM whose answer can be told from the first one's
	atOther = `AT+CSIM=10,"0084000002"`
)

// taking makes one command take its time.
func taking(which string, late time.Duration) func(string) time.Duration {
	return func(command string) time.Duration {
		if command == which {
			return late
		}
		return 0
	}
}

func TestALateAnswerIsNeverTakenForAnother(t *testing.T) {
	stale := says(`+CSIM: 12,"DEADDEAD9000"`)
	for name, c := range map[string]struct {
		late  time.Duration
		stale string
		drops bool
	}{
		"a little late":                     {11 * time.Second, stale, false},
		"very late":                         {29 * time.Second, stale, false},
		"late, and deaf meanwhile":          {25 * time.Second, stale, true},
		"late, with an error":               {15 * time.Second, "\r\n+CME ERROR: 0\r\n", false},
		"late, with half an answer":         {15 * time.Second, "\r\n+CSIM: 12,\"DEA\r\n\r\nOK\r\n", false},
		"half of it, then nothing":          {5 * time.Second, "\r\n+CSIM: 12,\"DEA", false},
		"late, with OK alone":               {15 * time.Second, ok, false},
		"never":                             {5 * time.Second, "", false},
		"late, after what looks like a cue": {15 * time.Second, "\r\n+CPIN: READY\r\n" + stale, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &scripted{
					delay: taking(atRandom, c.late), drops: c.drops,
					script: map[string][]string{atRandom: {c.stale}, atOther: {says(`+CSIM: 8,"AABB9000"`)}},
				}
				card := m.open(t, Options{})
				began := time.Now()
				fails(t, card, random, ErrTimeout)
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("the deadline came after %v", took)
				}
				gets(t, card, other, "AABB9000")
				gets(t, card, other, "AABB9000")
			})
		})
	}
}

func TestImpatientCallersWaitNoLongerThanTheirContextsAndDoNotKillTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &scripted{
			delay:  taking(atRandom, 20*time.Second),
			script: map[string][]string{atRandom: {says(`+CSIM: 12,"DEADDEAD9000"`)}, atOther: {says(`+CSIM: 8,"AABB9000"`)}},
		}
		c := m.open(t, Options{})
		for n := range 6 { // the first gives its command up, the others the wait for it
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			command := other
			if n == 0 {
				command = random
			}
			if _, err := transmit(ctx, c, command); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%v after %v: want the end of the context", err, time.Since(began))
			}
			cancel()
		}
		gets(t, c, other, "AABB9000")
	})
}

func TestSlowInstructionsHaveMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const generate = `AT+CSIM=16,"81B9000003840101"`
		m := &scripted{delay: taking(generate, 25*time.Second), script: map[string][]string{generate: {says(`+CSIM: 4,"9000"`)}}}
		gets(t, m.open(t, Options{}), "81B9000003840101", "9000")
	})
}

func TestAModemThatStaysSilentIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &scripted{}
		c := m.open(t, Options{})
		m.silent = true
		fails(t, c, random, ErrTimeout)
		fails(t, c, random, ErrSilent)
		fails(t, c, random, ErrSilent)
	})
}

func TestAModemThatAnswersNoQueryIsBroughtIntoStepBySilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unknown := []string{"\r\nERROR\r\n"}
		m := &scripted{delay: taking(atRandom, 12*time.Second), script: map[string][]string{
			"AT+CMEE?": unknown, "AT+CFUN?": unknown, "AT+CPIN?": unknown,
			atRandom: {says(`+CSIM: 12,"DEADDEAD9000"`)}, atOther: {says(`+CSIM: 8,"AABB9000"`)},
		}}
		c := m.open(t, Options{})
		fails(t, c, random, ErrTimeout)
		gets(t, c, other, "AABB9000")
	})
}

func TestAnAnswerToSomebodyWhoIsGoneDoesNoHarmAtTheStart(t *testing.T) {
	m := &scripted{script: map[string][]string{
		"AT":     {says(`+CSIM: 12,"DEADDEAD9000"`) + ok}, // to what was asked before, and to this
		atRandom: {says(`+CSIM: 12,"AABBCCDD9000"`)},
	}}
	gets(t, m.open(t, Options{}), random, "AABBCCDD9000")
}

func TestClosingEndsAnExchangeThatIsUnderWayAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &scripted{script: map[string][]string{atRandom: {""}}}
		c := m.open(t, Options{})
		done := make(chan error)
		go func() {
			_, err := transmit(t.Context(), c, random)
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		go func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := <-done; err == nil || time.Since(began) != closeWait {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		fails(t, c, random, ErrClosed)
	})
}

// Whatever is late, given up or dropped: an answer that is returned belongs to its command.
func TestEveryAnswerBelongsToItsCommand(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seconds := func(most int, name string) []int {
			return rapid.SliceOfN(rapid.IntRange(0, most), 20, 20).Draw(rt, name)
		}
		delays, patience := seconds(25, "delays"), seconds(40, "patience")
		drops := rapid.Bool().Draw(rt, "drops what comes while busy")
		var wrong error
		synctest.Test(t, func(t *testing.T) {
			m := &scripted{script: map[string][]string{}, drops: drops, delay: func(command string) time.Duration {
				var n int
				if _, err := fmt.Sscanf(command, `AT+CSIM=10,"0084%02X0001"`, &n); err != nil {
					return 0
				}
				return time.Duration(delays[n]) * time.Second
			}}
			for n := range delays {
				m.script[fmt.Sprintf(`AT+CSIM=10,"0084%02X0001"`, n)] = []string{says(fmt.Sprintf(`+CSIM: 6,"%02X9000"`, n))}
			}
			c, err := m.tryOpen(t.Context(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for n := range delays {
				command, want := fmt.Sprintf("0084%02X0001", n), fmt.Sprintf("%02X9000", n)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(patience[n]+1)*time.Second)
				answer, err := transmit(ctx, c, command)
				cancel()
				if err == nil && answer != want {
					wrong = fmt.Errorf("command %d was answered %s", n, answer)
				}
			}
		})
		if wrong != nil {
			rt.Fatal(wrong)
		}
	})
}
