package tunnel

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/internal/testlog"
	"github.com/simroot/simroot/psktls"
)

// patience is for a machine that is busy; nothing that a test waits for takes that long by itself.
const patience = time.Minute

// stage is a SIM, its keeper, a server, and a tunnel between them.
type stage struct {
	t      *testing.T
	slot   *fixture.Slot
	keeper *device.Keeper
	log    *testlog.Log
	port   string
	stop   func()
}

func newStage(t *testing.T, slot *fixture.Slot, remote string, change func(*Options), opts ...device.Option) *stage {
	t.Helper()
	s := &stage{t: t, slot: slot, log: testlog.New(t)}
	s.keeper = device.NewKeeper(func(ctx context.Context) (*device.Device, error) {
		c, err := slot.Open(ctx)
		if err != nil {
			return nil, err
		}
		return device.New(ctx, c, opts...)
	}, 0, s.log.Logger())
	o := Options{SIM: s.keeper, Forwards: []Forward{{TCP, "127.0.0.1:0", remote}}, Log: s.log.Logger(), Patience: 2 * patience, Grace: time.Millisecond}
	if change != nil {
		change(&o)
	}
	tunnel, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	s.port = tunnel.Forwards()[0].Local
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.keeper.Run(ctx) })
	wg.Go(func() {
		if err := tunnel.Run(ctx); err != nil {
			t.Errorf("the tunnel ended with %v", err)
		}
	})
	s.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(s.stop)
	s.sim()
	return s
}

// sim waits for the SIM.
func (s *stage) sim() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if _, err := s.keeper.Await(ctx); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) dial() *net.TCPConn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// echoes says something, ends its own direction, and wants it back.
func (s *stage) echoes(text string) {
	s.t.Helper()
	c := s.dial()
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		s.t.Fatal(err)
	}
	if heard, err := io.ReadAll(c); err != nil || string(heard) != text {
		s.t.Fatalf("heard %d bytes, %v: want %d", len(heard), err, len(text))
	}
}

// refused wants a connection to end at once and not properly, and the log to say why.
func (s *stage) refused(why string) {
	s.t.Helper()
	began := time.Now()
	c, err := net.Dial("tcp", s.port)
	if err == nil { // otherwise it was refused before it was looked at
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		s.t.Fatalf("%v: want a reset", err)
	}
	if took := time.Since(began); took > patience {
		s.t.Errorf("refusing took %v", took)
	}
	s.log.Await(s.t, "connection refused", why)
}

// cut writes until the line breaks.
func (s *stage) cut() {
	s.t.Helper()
	c, err := net.Dial("tcp", s.port)
	if err == nil { // otherwise it was cut before it was looked at
		defer c.Close()
		for i := 0; err == nil && i < 100; i++ {
			_, err = c.Write(make([]byte, 1000))
		}
		if err == nil { // a reset is told once only
			_, err = io.ReadAll(c)
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		s.t.Errorf("%v: want a reset", err)
	}
}

// echo is a server that says back what it hears until the other side ends, and counts.
type echo struct {
	net.Listener
	served atomic.Int32
}

func serve(t *testing.T, l net.Listener, handle func(net.Conn)) *echo {
	t.Helper()
	e := &echo{Listener: l}
	fixture.Serve(t, l, func(c net.Conn) {
		e.served.Add(1)
		handle(c)
	})
	return e
}

func sayBack(c net.Conn) {
	if _, err := io.Copy(c, c); err == nil {
		c.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // the other side tells
	}
}

func TestACertificateInTheSIMOpensTheTunnel(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			ca := fixture.NewCA(t)
			config := ca.ServerConfig()
			config.MinVersion, config.MaxVersion = version, version
			server := serve(t, tls.NewListener(fixture.Listen(t), config), sayBack)
			s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
			s.echoes("hello")
			s.echoes(strings.Repeat("a long way through the tunnel ", 50_000)) // 1.5 MB, half-closed at its end
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { s.echoes(strings.Repeat("at the same time ", 1000)) })
			}
			wg.Wait()
		})
	}
}

func TestAPSKInTheSIMOpensTheTunnel(t *testing.T) {
	psk := bytes.Repeat([]byte{7}, 32)
	server := serve(t, psktls.NewListener(fixture.Listen(t), &psktls.Config{GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
		if string(identity) != "meter 1" {
			return nil, psktls.ErrUnknownIdentity
		}
		return psktls.SecretKey(psk), nil
	}}), sayBack)
	s := newStage(t, fixture.NewSlot(fixture.PSKSIM(t, psk)), server.Addr().String(), func(o *Options) {
		o.Identity = func() string { return "meter 1" }
	})
	s.echoes("hello")
	s.echoes(strings.Repeat("a long way through the tunnel ", 50_000))
}

func TestAWrongPSKIdentityIsRefused(t *testing.T) {
	psk := bytes.Repeat([]byte{7}, 32)
	server := serve(t, psktls.NewListener(fixture.Listen(t), &psktls.Config{GetKey: func(context.Context, []byte) (psktls.Key, error) {
		return nil, psktls.ErrUnknownIdentity
	}}), sayBack)
	s := newStage(t, fixture.NewSlot(fixture.PSKSIM(t, psk)), server.Addr().String(), func(o *Options) {
		o.Identity = func() string { return "nobody" }
	})
	s.refused("bad_record_mac") // what it would be told for a wrong key
}

func TestWithoutItsSIMATunnelRefusesAtOnceAndGoesOnWhenItIsBack(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serve(t, tls.NewListener(fixture.Listen(t), ca.ServerConfig()), sayBack)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
	standing := s.dial()
	exchange(t, standing)
	s.slot.Remove()
	s.refused("the card was removed") // by the handshake, which is the first to notice
	s.log.Await(t, "the SIM is away")
	before := server.served.Load()
	s.refused("the SIM is away") // and then without asking the server
	if server.served.Load() != before {
		t.Error("a server was bothered without a SIM")
	}
	exchange(t, standing) // what stands does not need the SIM
	s.slot.Insert()
	s.sim()
	s.echoes("back again")
	exchange(t, standing)
}

func exchange(t *testing.T, c net.Conn) {
	t.Helper()
	said, heard := []byte("still there?"), make([]byte, 12)
	if _, err := c.Write(said); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, heard); err != nil || !bytes.Equal(said, heard) {
		t.Fatalf("%q, %v", heard, err)
	}
}

func TestASIMThatAnotherProgramHasResetIsOpenedAgain(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serve(t, tls.NewListener(fixture.Listen(t), ca.ServerConfig()), sayBack)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
	s.echoes("before")
	s.slot.Reset()
	s.refused("the SIM did not do its part")
	s.log.Await(t, "the SIM is away")
	s.sim()
	s.echoes("after")
}

func TestAServerThatCannotBeTrustedIsRefused(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	config := ca.ServerConfig()
	config.Certificates = []tls.Certificate{other.Server()}
	server := serve(t, tls.NewListener(fixture.Listen(t), config), sayBack)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
	s.refused("certificate signed by unknown authority")
	if n := server.served.Load(); n != 1 {
		t.Errorf("tried %d times, want once: it will not get better", n)
	}
}

func TestTheServersNameIsChecked(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serve(t, tls.NewListener(fixture.Listen(t), ca.ServerConfig()), sayBack)
	_, port, _ := net.SplitHostPort(server.Addr().String())
	newStage(t, fixture.NewSlot(ca.GoodSIM()), "localhost:"+port, nil).echoes("by its name")
	config := ca.ServerConfig()
	config.Certificates = []tls.Certificate{ca.Server("elsewhere.example")}
	other := serve(t, tls.NewListener(fixture.Listen(t), config), sayBack)
	newStage(t, fixture.NewSlot(ca.GoodSIM()), other.Addr().String(), nil).refused("x509: ")
}

func TestOtherAnchorsMayBeGiven(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	config := ca.ServerConfig()
	config.Certificates = []tls.Certificate{other.Server()}
	server := serve(t, tls.NewListener(fixture.Listen(t), config), sayBack)
	newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), func(o *Options) { o.Roots = other.Pool() }).echoes("trusted")
}

func TestTheSIMChecksServersOfTunnels(t *testing.T) {
	ca, intruder := fixture.NewCA(t), fixture.NewCA(t)
	for _, c := range []struct {
		trusted *fixture.CA // by the host
		good    bool
	}{{ca, true}, {intruder, false}} {
		l := fixture.Listen(t)
		serve(t, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{c.trusted.Server()}, ClientAuth: tls.RequestClientCert}), sayBack)
		s := newStage(t, fixture.NewSlot(ca.SIMWith(fixture.PeerContainer)), l.Addr().String(), nil,
			device.WithRoots(c.trusted.Pool()), device.WithServerCheck(), device.WithSIMRandom())
		if c.good {
			s.echoes("hello")
		} else {
			s.refused("no anchor on the SIM")
		}
	}
}

func TestASIMWithoutACredentialIsTold(t *testing.T) {
	s := newStage(t, fixture.NewSlot(fixture.EmptySIM(t, "common")), serve(t, fixture.Listen(t), sayBack).Addr().String(), nil)
	s.refused("run the onboarding first")
}

func TestABrokenHandshakeIsTriedAgain(t *testing.T) {
	ca := fixture.NewCA(t)
	var first atomic.Bool
	server := serve(t, fixture.Listen(t), func(c net.Conn) {
		if first.CompareAndSwap(false, true) {
			return // the line breaks before a word is said
		}
		secured := tls.Server(c, ca.ServerConfig())
		sayBack(secured)
	})
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
	s.echoes("at the second attempt")
}

func TestAServerThatIsNotThereIsWaitedForAndThenGivenUp(t *testing.T) {
	ca := fixture.NewCA(t)
	gone := fixture.Listen(t)
	gone.Close()
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), gone.Addr().String(), func(o *Options) { o.Patience = time.Second })
	s.refused("connection refused")
}

// In TLS 1.3 a client hears of the refusal only after the handshake, and may have written by then.
func TestAServerThatRefusesTheSIMIsUnderstood(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			ca, other := fixture.NewCA(t), fixture.NewCA(t)
			config := ca.ServerConfig()
			config.MinVersion, config.MaxVersion, config.ClientCAs = version, version, other.Pool()
			server := serve(t, tls.NewListener(fixture.Listen(t), config), sayBack)
			s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
			s.cut()
			s.log.Await(t, "the server refuses the SIM's credential", "simroot device onboard")
		})
	}
}

// A local client must be able to tell the end of what was said from a line that was cut.
func TestACutConnectionIsNoProperEnd(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serve(t, fixture.Listen(t), func(c net.Conn) {
		secured := tls.Server(c, ca.ServerConfig())
		io.WriteString(secured, "half of a sent") //nolint:errcheck // the client tells
		c.Close()                                 // without close_notify
	})
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
	var heard []byte
	c, err := net.Dial("tcp", s.port)
	if err == nil { // otherwise it was cut before it was looked at
		defer c.Close()
		heard, err = io.ReadAll(c)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("heard %q, %v: want a reset", heard, err)
	}
	s.log.Await(t, "connection ended", "unexpected EOF")
}

func TestConnectionsAreBounded(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serve(t, tls.NewListener(fixture.Listen(t), ca.ServerConfig()), sayBack)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), func(o *Options) { o.MaxConns = 2 })
	one, two := s.dial(), s.dial()
	exchange(t, one)
	exchange(t, two)
	s.refused("too many connections")
	exchange(t, one)
	if err := one.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(one); err != nil || len(rest) > 0 {
		t.Fatalf("%q, %v", rest, err)
	}
	s.log.Await(t, "connection ended")
	s.echoes("there is a place again")
}

func TestATunnelThatIsToldToStopLetsConnectionsEndAndCutsTheRest(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serve(t, tls.NewListener(fixture.Listen(t), ca.ServerConfig()), sayBack)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), nil)
	c := s.dial()
	exchange(t, c)
	s.stop() // the tunnel's Run returns: its grace is a millisecond
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v: want a reset", err)
	}
	if _, err := net.Dial("tcp", s.port); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v: the port is still open", err)
	}
}

func TestSeveralForwardsShareOneSIM(t *testing.T) {
	ca := fixture.NewCA(t)
	remotes := []string{}
	for _, name := range []string{"first", "second"} {
		server := serve(t, tls.NewListener(fixture.Listen(t), ca.ServerConfig()), func(c net.Conn) {
			io.WriteString(c, name) //nolint:errcheck // the client tells
		})
		remotes = append(remotes, server.Addr().String())
	}
	slot := fixture.NewSlot(ca.GoodSIM())
	keeper := device.NewKeeper(func(ctx context.Context) (*device.Device, error) { return device.New(ctx, slot) }, 0, slog.New(slog.DiscardHandler))
	tunnel, err := Listen(Options{SIM: keeper, Log: slog.New(slog.DiscardHandler), Forwards: []Forward{{TCP, "127.0.0.1:0", remotes[0]}, {TCP, "127.0.0.1:0", remotes[1]}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { keeper.Run(ctx) })
	wg.Go(func() {
		if err := tunnel.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	if _, err := keeper.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"first", "second"} {
		c, err := net.Dial("tcp", tunnel.Forwards()[n].Local)
		if err != nil {
			t.Fatal(err)
		}
		heard, err := io.ReadAll(c)
		c.Close()
		if err != nil || string(heard) != want {
			t.Errorf("%q, %v: want %s", heard, err, want)
		}
	}
}

func TestATunnelOpensAllItsPortsOrNone(t *testing.T) {
	l := fixture.Listen(t)
	defer l.Close()
	free := fixture.Listen(t)
	port := free.Addr().String()
	free.Close()
	_, err := Listen(Options{Log: slog.New(slog.DiscardHandler), Forwards: []Forward{{TCP, port, "b:1"}, {TCP, l.Addr().String(), "b:1"}}})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("%v", err)
	}
	again, err := net.Listen("tcp", port)
	if err != nil {
		t.Fatalf("the first port was left open: %v", err)
	}
	again.Close()
	if _, err := Listen(Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a tunnel without forwards")
	}
}
