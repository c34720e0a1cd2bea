package testlog_test

import (
	"testing"
	"testing/synctest"

	"github.com/simroot/simroot/internal/testlog"
)

func TestAwaitWaitsForOneLineWithAllTheWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, there := testlog.New(t), false
		go func() {
			log.Await(t, "refused", "revoked")
			there = true
		}()
		for _, step := range []struct {
			line string
			want bool
		}{{"refused: expired\n", false}, {"revoked\n", false}, {"refused: it is revoked\n", true}} {
			log.Write([]byte(step.line))
			synctest.Wait()
			if there != step.want {
				t.Errorf("after %q: %v", step.line, there)
			}
		}
	})
}
