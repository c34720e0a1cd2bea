package laws

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/device/tunnel"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/vsim"
)

// slot is where a SIM can be taken out of.
type slot struct {
	*vsim.Card
	empty atomic.Bool
}

var errNoCard = errors.New("no card in the slot")

func (s *slot) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if s.empty.Load() {
		return nil, errNoCard
	}
	return s.Card.Transmit(ctx, command)
}

func (s *slot) Close() error { return nil }

// opened opens the SIM in the slot, with these options.
func (s *slot) opened(opts ...device.Option) func(context.Context) (*device.Device, error) {
	return func(ctx context.Context) (*device.Device, error) {
		if s.empty.Load() {
			return nil, errNoCard
		}
		return device.New(ctx, s, opts...)
	}
}

func (s *slot) remove() {
	s.empty.Store(true)
	s.Reset()
}

// resident is a device that runs by itself: a keeper of its SIM, and an agent.
type resident struct {
	*device.Keeper
	agent *device.Agent
	ended chan error
	news  chan device.AgentStatus
}

// running starts a device with this SIM; it ends with the test.
func (w *world) running(s *slot, now func() time.Time, opts ...device.Option) *resident {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	r := &resident{ended: make(chan error, 1), news: make(chan device.AgentStatus, 1000)}
	r.Keeper = device.NewKeeper(s.opened(opts...), 0, log)
	r.agent = device.NewAgent(device.AgentOptions{Open: r.Lend, Platform: w.Agent, Look: 10 * time.Millisecond, Log: log, Now: now, Report: func(s device.AgentStatus) error {
		r.news <- s
		return nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Keeper.Run(ctx) })
	if _, err := r.Await(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	wg.Go(func() { r.ended <- r.agent.Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return r
}

// until waits for news of the agent.
func (r *resident) until(t testing.TB, what string, is func(device.AgentStatus) bool) device.AgentStatus {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case s := <-r.news:
			if is(s) {
				return s
			}
		case <-late:
			t.Fatalf("the agent does not become %s: %+v", what, r.agent.Status())
		}
	}
}

func ready(s device.AgentStatus) bool { return s.State == device.AgentReady }

// tunnelTo opens a tunnel to a server, with a device's SIM; it ends with the test.
func (w *world) tunnelTo(server net.Addr, r *resident) string {
	w.t.Helper()
	t, err := tunnel.Listen(tunnel.Options{
		SIM: r, Forwards: []tunnel.Forward{{Local: "127.0.0.1:0", Remote: server.String()}}, Grace: time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Identity: func() string {
			if c := r.agent.Status().Credential; c != nil {
				return c.Identity
			}
			return ""
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- t.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	return t.Forwards()[0].Local
}

// hears connects and says what the server says.
func hears(address string) (string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	heard, err := io.ReadAll(c)
	return string(heard), err
}

// greeting is a server that tells each client something, and ends properly.
func (w *world) greeting(l net.Listener, of func(net.Conn) (string, error)) net.Addr {
	w.t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if text, err := of(c); err == nil {
					io.WriteString(c, text) //nolint:errcheck // the client tells
				}
			})
		}
	})
	w.t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr()
}

// A device runs by itself from its first minute on: the agent switches its SIM on, a program
// that knows nothing of SIMs speaks through the tunnel, the server knows the SIM. The SIM
// is taken out and put back; the credential is renewed; and all the time what works, works.
func TestADeviceRunsByItself(t *testing.T) {
	w := newWorld(t)
	// The renewal of a new credential is due in half a second.
	w.fleet("meters", api.Profile{Type: api.CertificateType, Lifetime: api.Duration(time.Hour), RenewBefore: api.Duration(time.Hour - 500*time.Millisecond)})
	sim := &slot{Card: vsim.NewMemory(w.sims("meters", "common", someICCID)[0])}
	m, err := w.Middleware(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	own, err := w.ServerCertificate(t.Context(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := w.greeting(tls.NewListener(inner, m.TLSConfig(&tls.Config{Certificates: []tls.Certificate{own}})), func(c net.Conn) (string, error) {
		if err := c.(*tls.Conn).HandshakeContext(t.Context()); err != nil {
			return "", err
		}
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Text(16), nil
	})

	var ahead atomic.Bool
	var trials atomic.Int32
	try := device.HandshakeWith(nil, server.String())
	r := w.running(sim, func() time.Time {
		if ahead.Load() {
			return time.Now().Add(30 * time.Minute)
		}
		return time.Now()
	}, device.WithTrial(func(ctx context.Context, on *device.Device) error {
		trials.Add(1)
		return try(ctx, on)
	}))
	first := r.until(t, "ready", ready)
	if first.ICCID != someICCID || first.Totals.Credentials != 1 {
		t.Fatalf("%+v", first)
	}
	credential := w.active(someICCID)
	if err := rig.Await(t.Context(), m, credential); err != nil {
		t.Fatal(err)
	}
	local := w.tunnelTo(server, r)
	if heard, err := hears(local); err != nil || heard != credential.Serial {
		t.Fatalf("the server says %q, %v: want %q", heard, err, credential.Serial)
	}

	sim.remove()
	r.Suspect()
	if heard, err := hears(local); err == nil {
		t.Fatalf("without its SIM the device got %q", heard)
	}
	sim.empty.Store(false)
	if _, err := r.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	heard, err := hears(local)
	// A connection made with what the agent had of the SIM before may break still.
	for late := time.After(time.Minute); err != nil; heard, err = hears(local) {
		select {
		case <-late:
			t.Fatalf("with its SIM back the device is not heard: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if heard != credential.Serial {
		t.Fatalf("with its SIM back the device got %q", heard)
	}

	// The platform thinks that the renewal is due, and the device's clock comes to say so too.
	<-time.After(time.Until(first.RenewAt) + 10*time.Millisecond)
	ahead.Store(true)
	second := r.until(t, "ready with a new credential", func(s device.AgentStatus) bool { return ready(s) && s.Totals.Credentials == 2 })
	if trials.Load() != 1 {
		t.Errorf("the new credential was tried %d times before it was used, want once", trials.Load())
	}
	renewed := w.active(someICCID)
	if second.Credential.ID != renewed.ID || renewed.ID == credential.ID {
		t.Fatalf("the agent holds %s, the platform %s", second.Credential.ID, renewed.ID)
	}
	// The server knows it, for the trial would have failed otherwise.
	if heard, err := hears(local); err != nil || heard != renewed.Serial {
		t.Fatalf("after the renewal the server says %q, %v: want %q", heard, err, renewed.Serial)
	}
}

// A SIM whose platform says never again ends the agent, which says so.
func TestATerminatedSIMEndsItsAgent(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{Type: api.CertificateType})
	sim := &slot{Card: vsim.NewMemory(w.sims("meters", "common", someICCID)[0])}
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Admin.TerminateSIM(t.Context(), someICCID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	r := w.running(sim, nil)
	if err := <-r.ended; !errors.Is(err, device.ErrRefused) || !api.HasCode(err, api.CodeSIMTerminated) {
		t.Errorf("%v", err)
	}
	if s := r.agent.Status(); s.State != device.AgentRefused || s.Code != api.CodeSIMTerminated {
		t.Errorf("%+v", s)
	}
}

// A Type II device learns its identity from the agent, and speaks with its PSK.
func TestATypeIIDeviceRunsByItself(t *testing.T) {
	w := newWorld(t)
	w.fleet("tags", api.Profile{Type: api.PSKType})
	sim := &slot{Card: vsim.NewMemory(w.sims("tags", "type2", someICCID)[0])}
	r := w.running(sim, nil)
	s := r.until(t, "ready", ready)
	key := w.platformKey(s.Credential.ID)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := w.greeting(psktls.NewListener(inner, &psktls.Config{GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
		if string(identity) != s.Credential.Identity {
			return nil, psktls.ErrUnknownIdentity
		}
		return key, nil
	}}), func(net.Conn) (string, error) { return "welcome", nil })
	if heard, err := hears(w.tunnelTo(server, r)); err != nil || heard != "welcome" {
		t.Errorf("%q, %v", heard, err)
	}
}

var _ card.Conn = (*slot)(nil)
