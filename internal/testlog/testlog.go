// Package testlog is a log that a test reads, and waits for, while the product writes it.
package testlog

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is for a machine that is busy; nothing that a test waits for takes that long by itself.
const patience = time.Minute

// Log keeps what is written. All its methods may be called at once.
type Log struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed and replaced when there is more
}

// New makes a log that a failed test shows.
func New(t testing.TB) *Log {
	l := &Log{grown: make(chan struct{})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", l)
		}
	})
	return l
}

// Logger writes all that is logged, from debug on, as text.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.grown)
	l.grown = make(chan struct{})
	return l.text.Write(b)
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count is how often the log says something so far.
func (l *Log) Count(what string) int { return strings.Count(l.String(), what) }

// Says tells whether the log says something so far.
func (l *Log) Says(what string) bool { return l.Count(what) > 0 }

// Await waits until one line of the log holds all of the words.
func (l *Log) Await(t testing.TB, words ...string) {
	t.Helper()
	l.AwaitLines(t, 1, words...)
}

// AwaitLines waits until so many lines of the log hold all of the words.
func (l *Log) AwaitLines(t testing.TB, lines int, words ...string) {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		n, grown := linesWith(l.text.String(), words), l.grown
		l.mu.Unlock()
		if n >= lines {
			return
		}
		select {
		case <-grown:
		case <-late:
			t.Fatalf("%d lines of the log say %q after %v, want %d", n, words, patience, lines)
		}
	}
}

func linesWith(text string, words []string) (n int) {
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}
