//go:build unix

package image

import (
	"encoding/binary"
	"fmt"
	"github.com/simroot/simroot/internal/victim"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestMain(m *testing.M) { victim.Main(m, saveForever) }

// saveForever saves state after state, and tells of each when it is durable.
func saveForever(path string, _ ...string) error {
	f, s, err := Open(path, nil)
	for err == nil {
		s = counted(s, s.Domain.SequenceCounter+1)
		if err = f.Save(s); err == nil {
			fmt.Println(s.Domain.SequenceCounter)
		}
	}
	return err
}

// counted is the state number n: the applet's part holds the number too, many times over,
// so that a mixture of two states shows.
func counted(s State, n uint32) State {
	s.Domain.SequenceCounter = n
	objects := append(s.Applet.Objects[:0:0], s.Applet.Objects...)
	content := make([]byte, 0, 2000)
	for len(content) < 2000 {
		content = binary.BigEndian.AppendUint32(content, n)
	}
	objects[0].Content = content
	s.Applet.Objects = objects
	return s
}

// A writer that is killed at any instant leaves the state that it last called durable, or
// the one it was about to write.
func TestKilledWriterLeavesACompleteState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "killed.sim")
	f, err := Create(path, counted(testState(t), 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	var before uint32
	for round := range 25 {
		durable := killWriter(t, path, before)
		f, s, err := Open(path, nil)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		n := s.Domain.SequenceCounter
		if n < durable || n < before {
			t.Fatalf("round %d: state %d is on disk, state %d was durable", round, n, max(durable, before))
		}
		same(t, s, counted(s, n))
		if _, err := os.Stat(f.next()); err == nil {
			t.Fatalf("round %d: what the killed writer prepared still lies about", round)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		before = n
	}
}

// killWriter starts a writer, kills it at some instant after its first states, and
// returns the number of the last state that it called durable.
func killWriter(t *testing.T, path string, before uint32) uint32 {
	t.Helper()
	v, durable := victim.Start(t, path), before
	line, ok := v.Line() // the writer is at work: strike at any instant from now on
	time.AfterFunc(rand.N(20*time.Millisecond), v.Strike)
	for ; ok; line, ok = v.Line() {
		n, err := strconv.ParseUint(line, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		durable = uint32(n)
	}
	v.Kill()
	return durable
}
