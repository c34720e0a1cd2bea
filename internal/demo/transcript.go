package demo

import (
	"fmt"
	"io"
	"time"
)

// transcript tells a person, step by step, what was done and checked.
type transcript struct {
	out   io.Writer
	steps int
	begun time.Time
}

// part begins a new part of the story.
func (t *transcript) part(format string, args ...any) {
	fmt.Fprintf(t.out, "\n%s\n", fmt.Sprintf(format, args...))
}

// step carries out one step and ticks it off with what it found and the time it took. An
// error ends the demonstration.
func (t *transcript) step(title string, do func() (found string, err error)) error {
	start := time.Now()
	found, err := do()
	took := time.Since(start)
	if err != nil {
		fmt.Fprintf(t.out, "  ✗ %s\n      %v\n", title, err)
		return fmt.Errorf("%s: %w", title, err)
	}
	t.steps++
	fmt.Fprintf(t.out, "  ✓ %-58s %7.1f ms\n", title, float64(took.Microseconds())/1000)
	if found != "" {
		fmt.Fprintf(t.out, "      %s\n", found)
	}
	return nil
}
