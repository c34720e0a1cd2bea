// Package victim lets a test kill a process in the middle of its work: it is the test's own program,
// started once more.
package victim

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// places is the variable that makes a test program a victim, and tells it where to work.
const places = "SIMROOT_TEST_VICTIM"

// Main is a TestMain. A process that [Start] has started works, in the folder or on the file that it is
// given, and prints a line for each thing done, until it is killed; every other runs the tests.
func Main(m *testing.M, work func(place string, args ...string) error) {
	if place := os.Getenv(places); place != "" {
		fmt.Fprintln(os.Stderr, "the victim ended by itself:", work(place, os.Args[1:]...))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Victim is a process that works.
type Victim struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// Start starts one, which is killed at the end of the test at the latest.
func Start(t testing.TB, place string, args ...string) *Victim {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), places+"="+place)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := &Victim{cmd, bufio.NewScanner(out)}
	t.Cleanup(v.Kill)
	return v
}

// Line waits for the next line; it is false when the process has ended and said all.
func (v *Victim) Line() (line string, ok bool) {
	ok = v.lines.Scan()
	return v.lines.Text(), ok
}

// Strike kills it. What it has said until then can still be read.
func (v *Victim) Strike() { v.cmd.Process.Kill() } //nolint:errcheck // it may have ended

// Kill kills it, and waits for its end.
func (v *Victim) Kill() {
	v.Strike()
	v.cmd.Wait() //nolint:errcheck // killed: the error is no news
}

// KilledAfter starts one, kills it when it has printed so many lines, and returns all that it printed.
func KilledAfter(t testing.TB, place string, least int) (lines []string) {
	t.Helper()
	v := Start(t, place)
	for line, ok := v.Line(); ok; line, ok = v.Line() {
		if lines = append(lines, line); len(lines) == least {
			v.Strike()
		}
	}
	v.Kill()
	if len(lines) < least {
		t.Fatalf("the victim ended after %d lines", len(lines))
	}
	return lines
}
