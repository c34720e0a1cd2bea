//go:build linux

package realparts

import (
	"bytes"
	"errors"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a wait lasts before it fails the test.
const Patience = time.Minute

// Process is a program that runs for one test.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended and all its output is there

	mu     sync.Mutex
	output bytes.Buffer
	grown  chan struct{} // closed and replaced when output grows
}

// Start runs a program until the test ends or [Process.Stop].
func Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	return StartCmd(t, exec.Command(name, args...))
}

// StartCmd is [Start] for a program that needs its own environment, folder or input.
func StartCmd(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, exited: make(chan struct{}), grown: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = (*sink)(p), (*sink)(p)
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes open
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v: scripts/deps installs what tests need", cmd.Path, err)
	}
	go func() {
		cmd.Wait() //nolint:errcheck // the exit code is in ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", cmd, p.Output())
		}
	})
	return p
}

// Run runs a program to its end and returns all that it printed. It fails the test
// unless the program exits with 0.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	p := Start(t, name, args...)
	if code := p.Wait(); code != 0 {
		t.Fatalf("%s: exit code %d", p.cmd, code)
	}
	return p.Output()
}

// sink is a Process as the writer of its output.
type sink Process

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.grown)
	s.grown = make(chan struct{})
	return s.output.Write(b)
}

// Output is what the program has printed so far, both streams as they came.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// WaitLog waits until the program has printed something that pattern matches, and
// returns the match and its submatches. It fails the test if the program ends first.
func (p *Process) WaitLog(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(Patience)
	for ended := false; ; {
		p.mu.Lock()
		match, grown := re.FindSubmatch(p.output.Bytes()), p.grown
		var found []string
		for _, m := range match {
			found = append(found, string(m)) // output may move
		}
		p.mu.Unlock()
		if found != nil {
			return found
		}
		if ended {
			p.t.Fatalf("%s ended with exit code %d and did not print %q", p.cmd, p.cmd.ProcessState.ExitCode(), pattern)
		}
		select {
		case <-grown:
		case <-p.exited:
			ended = true // look once more
		case <-deadline:
			p.t.Fatalf("%s did not print %q within %v", p.cmd, pattern, Patience)
		}
	}
}

// Wait waits for the program to end and returns its exit code, -1 after a signal.
func (p *Process) Wait() int {
	p.t.Helper()
	return p.WaitUpTo(Patience)
}

// WaitUpTo is [Process.Wait] for programs that take longer than others.
func (p *Process) WaitUpTo(patience time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end within %v", p.cmd, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the program, if it still runs.
func (p *Process) Signal(s syscall.Signal) {
	p.cmd.Process.Signal(s) //nolint:errcheck // it may have ended
}

// Stop ends the program, by force if it does not heed SIGTERM.
func (p *Process) Stop() {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		p.Signal(syscall.SIGKILL)
		<-p.exited
	}
}

// WaitFor polls a condition until it holds. what completes the sentence "waited in vain
// for …" that fails the test otherwise.
func WaitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	poll(t, "for "+what, func() error {
		if !holds() {
			return errors.New("not yet")
		}
		return nil
	})
}

// WaitUntil tries until it succeeds. what completes the sentence "waited in vain until …" that
// fails the test otherwise, with the last error.
func WaitUntil(t testing.TB, what string, try func() error) {
	t.Helper()
	poll(t, "until "+what, try)
}

func poll(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain %s (%v): %v", what, Patience, err)
		}
	}
}
