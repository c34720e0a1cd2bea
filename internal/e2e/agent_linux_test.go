package e2e

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card/tcp"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// deadlyCard kills a process when the given number of commands has come.
type deadlyCard struct {
	*vsim.Card

	mu   sync.Mutex
	seen int
	left int // -1: harmless
	kill func()
}

func (c *deadlyCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	if c.left == 0 {
		c.kill()
	}
	c.left = max(c.left-1, -1)
	c.seen++
	c.mu.Unlock()
	return c.Card.Transmit(ctx, command) // the SIM has its power still, and carries it out
}

func (c *deadlyCard) arm(left int, kill func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.kill = left, kill
}

func (c *deadlyCard) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// An agent that is killed in the middle of a rotation leaves a SIM that works, and the next
// one, with the dead one's lock and status file in its way, completes what it has begun.
func TestAnAgentKilledInTheMiddleOfARotationCostsNothing(t *testing.T) {
	r, err := rig.New(filepath.Join(t.TempDir(), "platform"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}()
	due := api.Profile{Lifetime: api.Duration(time.Hour), RenewBefore: api.Duration(time.Hour - 1)}
	if err := r.Fleet(t.Context(), "due", due); err != nil {
		t.Fatal(err)
	}
	states, err := r.SIMs(t.Context(), "due", "common", inReader)
	if err != nil {
		t.Fatal(err)
	}
	sim := &deadlyCard{Card: vsim.NewMemory(states[0]), left: -1}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- tcp.Serve(ctx, l, sim) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	dir := t.TempDir()
	uri, status := "tcp:"+l.Addr().String(), filepath.Join(dir, "status.json")
	agent := func() *realparts.Process {
		return realparts.Start(t, realparts.Binary(t, "simroot"), "device", "onboard", "--card", uri,
			"--platform", r.URL, "--ca", r.TrustAnchor(), "--watch", "--look", "0", "--status", status, "--lock", dir)
	}
	// completes runs an agent until it has done a rotation, and tells it to end.
	completes := func() {
		t.Helper()
		a := agent()
		a.WaitLog("the SIM holds a good credential")
		a.Signal(syscall.SIGTERM)
		if code := a.Wait(); code != 0 {
			t.Fatalf("told to end, the agent exits with %d", code)
		}
		if s, err := device.ReadStatusFile(status); err != nil || s.State != device.AgentStopped || s.Totals.Credentials != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	completes() // the first credential
	begun := sim.count()
	completes() // a rotation
	commands := sim.count() - begun
	if commands < 15 {
		t.Fatalf("a rotation of %d commands?", commands)
	}
	for n := 0; n < commands; n += 3 {
		started := make(chan *realparts.Process, 1)
		sim.arm(n, func() { (<-started).Signal(syscall.SIGKILL) })
		a := agent()
		started <- a
		if code := a.Wait(); code != -1 {
			t.Fatalf("command %d: exit code %d of a killed agent", n, code)
		}
		if state := uses(t, r, uri); !state.Accepted() {
			t.Fatalf("killed at command %d: the SIM uses a credential that is %s", n, state)
		}
		completes()
		if state := uses(t, r, uri); state != api.Active {
			t.Fatalf("completed after command %d: the SIM uses a credential that is %s", n, state)
		}
	}
}

// uses is the state of the credential that a SIM uses.
func uses(t *testing.T, r *rig.Rig, uri string) api.CredentialState {
	t.Helper()
	d, err := device.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	certificate, err := d.Certificate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for c, err := range r.Admin.Credentials(t.Context(), api.CredentialFilter{ICCID: inReader}) {
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(c.Certificate, certificate.Leaf.Raw) {
			return c.State
		}
	}
	t.Fatal("the SIM uses a certificate that the platform does not know")
	return ""
}
