package tunnel

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"

	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// answering is a DTLS server that answers each datagram with what answer makes of it, nothing for
// nil, and counts its sessions.
type answering struct {
	net.Listener
	sessions atomic.Int32
	ended    atomic.Int32
	stop     func()
}

func answers(t *testing.T, l net.Listener, answer func([]byte) []byte) *answering {
	t.Helper()
	a := &answering{Listener: l}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // a handshake that failed
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer a.ended.Add(1)
				counted := false
				b := make([]byte, 4096)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					if !counted {
						a.sessions.Add(1)
						counted = true
					}
					if said := answer(b[:n]); said != nil {
						if _, err := c.Write(said); err != nil {
							return
						}
					}
				}
			})
		}
	})
	a.stop = sync.OnceFunc(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	t.Cleanup(a.stop)
	return a
}

func same(b []byte) []byte { return b }

// demanding is a pion/dtls server on an address that demands a certificate of the CA.
func demanding(t *testing.T, ca *fixture.CA, address string, more ...pion.ServerOption) net.Listener {
	t.Helper()
	local, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	options := append([]pion.ServerOption{
		pion.WithCertificates(ca.Server()), pion.WithClientAuth(pion.RequireAndVerifyClientCert), pion.WithClientCAs(ca.Pool()),
	}, more...)
	l, err := pion.ListenWithOptions("udp", local, options...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// overUDP makes the first forward of a stage one for UDP.
func overUDP(o *Options) { o.Forwards[0].Network = UDP }

// local is a local UDP client.
type local struct {
	*net.UDPConn
	t *testing.T
}

func (s *stage) client() local {
	s.t.Helper()
	c, err := net.Dial("udp", s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return local{c.(*net.UDPConn), s.t}
}

func (l local) say(text string) {
	l.t.Helper()
	if _, err := l.Write([]byte(text)); err != nil {
		l.t.Fatal(err)
	}
}

// hear waits for a datagram, "" if none comes in time.
func (l local) hear(within time.Duration) string {
	l.t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(within)); err != nil {
		l.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := l.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		l.t.Fatal(err)
	}
	return string(b[:n])
}

// asks says something and wants it answered with the same. It says it again while nothing comes, as
// CoAP does (RFC 7252, 4.2).
func (l local) asks(text string) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		l.say(text)
		for heard := "something"; heard != ""; { // answers to earlier questions may come late
			if heard = l.hear(time.Second); heard == text {
				return
			}
		}
	}
	l.t.Fatalf("no answer to %q", text)
}

func TestACertificateInTheSIMOpensTheTunnelForDatagrams(t *testing.T) {
	ca := fixture.NewCA(t)
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), same)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), overUDP)
	one, two := s.client(), s.client()
	one.asks("one")
	two.asks("two")
	one.asks("one again")
	if n := server.sessions.Load(); n != 2 {
		t.Errorf("%d sessions for two clients", n)
	}
}

// nat stands between a tunnel and a server, as the router of a mobile network does, and can forget
// the address that it has given the tunnel.
type nat struct {
	t       *testing.T
	inside  *net.UDPConn
	server  net.Addr
	mu      sync.Mutex
	outside *net.UDPConn
	tunnel  netip.AddrPort
	passed  int
	loses   int // one datagram out of so many, of both directions; 0: none
	wg      sync.WaitGroup
}

// lost tells whether the next datagram is one of those that are lost. The lock is held.
func (n *nat) lost() bool {
	n.passed++
	return n.loses > 0 && n.passed%n.loses == 0
}

func newNAT(t *testing.T, server net.Addr, loses int) *nat {
	t.Helper()
	inside, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n := &nat{t: t, inside: inside, server: server, loses: loses}
	n.readdress()
	n.wg.Go(func() {
		b := make([]byte, 4096)
		for {
			l, from, err := inside.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.tunnel = from
			if !n.lost() {
				n.outside.Write(b[:l]) //nolint:errcheck // lost
			}
			n.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		inside.Close()
		n.outside.Close()
		n.wg.Wait()
	})
	return n
}

// readdress gives the tunnel another address towards the server.
func (n *nat) readdress() {
	n.t.Helper()
	c, err := net.Dial("udp", n.server.String())
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outside != nil {
		n.outside.Close()
	}
	outside := c.(*net.UDPConn)
	n.outside = outside
	n.wg.Go(func() {
		b := make([]byte, 4096)
		for {
			l, err := outside.Read(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			if !n.lost() {
				n.inside.WriteToUDPAddrPort(b[:l], n.tunnel) //nolint:errcheck // lost
			}
			n.mu.Unlock()
		}
	})
}

func TestASessionGoesOnWhenTheDevicesAddressChangesIfTheServerKnowsConnectionIDs(t *testing.T) {
	psk := bytes.Repeat([]byte{7}, 32)
	ca := fixture.NewCA(t)
	for name, c := range map[string]struct {
		sim *fixture.Slot
		l   net.Listener
		id  string
	}{
		"certificate": {fixture.NewSlot(ca.GoodSIM()), demanding(t, ca, "127.0.0.1:0", pion.WithConnectionIDGenerator(pion.RandomCIDGenerator(8))), ""},
		"PSK":         {fixture.NewSlot(fixture.PSKSIM(t, psk)), pskServer(t, psk, 8), "meter 1"},
	} {
		t.Run(name, func(t *testing.T) {
			server := answers(t, c.l, same)
			between := newNAT(t, server.Addr(), 0)
			s := newStage(t, c.sim, between.inside.LocalAddr().String(), func(o *Options) {
				overUDP(o)
				o.Identity = func() string { return c.id }
				o.Silence = time.Hour // nothing else may help
			})
			client := s.client()
			client.asks("before")
			between.readdress()
			client.asks("after")
			if n := server.sessions.Load(); n != 1 {
				t.Errorf("%d sessions", n)
			}
		})
	}
}

func TestOneDatagramInFiveMayBeLost(t *testing.T) {
	ca := fixture.NewCA(t)
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), same)
	between := newNAT(t, server.Addr(), 5)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), between.inside.LocalAddr().String(), overUDP)
	client := s.client()
	for _, text := range []string{"one", "two", "three", "four"} {
		client.asks(text)
	}
	if n := server.sessions.Load(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// pskServer is a psktls/dtls server that knows one meter.
func pskServer(t *testing.T, psk []byte, connectionIDs int) net.Listener {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := dtls.Listen(socket, &dtls.Config{ConnectionIDs: connectionIDs, Config: psktls.Config{GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
		if string(identity) != "meter 1" {
			return nil, psktls.ErrUnknownIdentity
		}
		return psktls.SecretKey(psk), nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAPSKInTheSIMOpensTheTunnelForDatagrams(t *testing.T) {
	psk := bytes.Repeat([]byte{7}, 32)
	server := answers(t, pskServer(t, psk, 0), same)
	s := newStage(t, fixture.NewSlot(fixture.PSKSIM(t, psk)), server.Addr().String(), func(o *Options) {
		overUDP(o)
		o.Identity = func() string { return "meter 1" }
	})
	s.client().asks("one")
	s.client().asks("two")
}

func TestADTLSServerThatCannotBeTrustedGetsNothing(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	for name, l := range map[string]net.Listener{
		"another CA":   demanding(t, ca, "127.0.0.1:0", pion.WithCertificates(other.Server())),
		"another name": demanding(t, ca, "127.0.0.1:0", pion.WithCertificates(ca.Server("elsewhere.example"))),
	} {
		t.Run(name, func(t *testing.T) {
			server := answers(t, l, same)
			s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), overUDP)
			s.client().say("a secret")
			s.log.Await(t, "session refused", "x509: ")
			if server.sessions.Load() != 0 {
				t.Error("something was said to it")
			}
		})
	}
}

func TestADTLSServerThatRefusesTheSIMIsUnderstood(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	server := answers(t, demanding(t, ca, "127.0.0.1:0", pion.WithClientCAs(other.Pool())), same)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), overUDP)
	s.client().say("hello")
	s.log.Await(t, "session refused", "the server refuses the SIM's credential")
}

func TestDatagramsWaitForAServerThatIsNotThereYetAndASessionForOneThatIsBack(t *testing.T) {
	ca := fixture.NewCA(t)
	first := answers(t, demanding(t, ca, "127.0.0.1:0"), same)
	address := first.Addr().String()
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), address, overUDP)
	c := s.client()
	c.asks("before")
	first.stop() // and says so
	c.say("while nobody listens")
	s.log.Await(t, "session ended")
	second := answers(t, demanding(t, ca, address), same)
	c.asks("after")
	if second.sessions.Load() != 1 {
		t.Error("the new server has not answered")
	}
}

// A server that has crashed cannot end its sessions, and its successor does not know them.
func TestAServerThatHasForgottenTheSessionGetsANewOne(t *testing.T) {
	ca := fixture.NewCA(t)
	var deaf atomic.Bool
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), func(b []byte) []byte {
		if deaf.Load() {
			return nil
		}
		return b
	})
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), func(o *Options) {
		overUDP(o)
		o.Silence = 50 * time.Millisecond
	})
	c := s.client()
	c.asks("before")
	deaf.Store(true)
	c.say("to the deaf")
	<-time.After(60 * time.Millisecond)
	c.say("again")
	s.log.Await(t, "stopped answering; trying a new session")
	deaf.Store(false)
	c.asks("after")
	if n := server.sessions.Load(); n != 2 {
		t.Errorf("%d sessions, want a second", n)
	}
}

func TestAServerThatOnlyCollectsKeepsItsSession(t *testing.T) {
	ca := fixture.NewCA(t)
	got := make(chan string, 100)
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), func(b []byte) []byte {
		got <- string(b)
		return nil
	})
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), func(o *Options) {
		overUDP(o)
		o.Silence = time.Second // a minute for such a server
	})
	c := s.client()
	for range 3 {
		c.say("23.4 kWh")
		<-got
	}
	if n := server.sessions.Load(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestAServerThatHasNeverAnsweredIsGivenSixtyTimesAsLong(t *testing.T) {
	begun := time.Now()
	for after, stale := range map[time.Duration][2]bool{ // of a server that has answered, and of one that never has
		900 * time.Millisecond: {false, false},
		59 * time.Second:       {true, false},
		60 * time.Second:       {true, true},
	} {
		for n, heard := range []bool{true, false} {
			f := newFlow(t.Context(), netip.AddrPort{})
			defer f.end()
			f.opened(begun)
			if heard {
				f.answered(begun)
			}
			f.sent(begun)
			f.sent(begun.Add(after / 2)) // what has waited longest counts
			if got := f.unanswered(begun.Add(after), time.Second); got != stale[n] {
				t.Errorf("after %v, heard %v: unanswered %v", after, heard, got)
			}
		}
	}
}

func TestASessionInWhichNothingPassesIsEnded(t *testing.T) {
	ca := fixture.NewCA(t)
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), same)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), func(o *Options) {
		overUDP(o)
		o.Idle = 200 * time.Millisecond
	})
	c := s.client()
	c.asks("one")
	s.log.Await(t, "session ended")
	c.asks("two")
	if n := server.sessions.Load(); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

func TestSessionsAreBoundedAndTheQuietestMakesWay(t *testing.T) {
	ca := fixture.NewCA(t)
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), same)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), func(o *Options) {
		overUDP(o)
		o.MaxConns = 2
	})
	one, two, three := s.client(), s.client(), s.client()
	one.asks("one")
	two.asks("two")
	three.say("three")
	s.log.Await(t, "datagram refused", "too many")
	three.asks("three, later") // when one or two has been quiet for long enough
	s.log.Await(t, "a quiet session makes way", one.LocalAddr().String())
	two.asks("two again")
}

func TestWithoutItsSIMDatagramsOfNewClientsAreLostAndThoseOfOthersPass(t *testing.T) {
	ca := fixture.NewCA(t)
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), same)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), overUDP)
	standing, fresh := s.client(), s.client()
	standing.asks("before")
	s.slot.Remove()
	fresh.say("nobody hears me")
	s.log.Await(t, "session refused", "the card was removed")
	s.log.Await(t, "the SIM is away")
	standing.asks("still there")
	s.slot.Insert()
	s.sim()
	fresh.asks("back again")
	if n := s.log.Count("the SIM is away; it is used again"); n != 1 {
		t.Errorf("the log says %d times that the SIM is away", n)
	}
}

func TestADatagramThatDoesNotFitIsLostAndTheLogSaysSoOnce(t *testing.T) {
	psk := bytes.Repeat([]byte{7}, 32)
	ca := fixture.NewCA(t)
	for name, c := range map[string]struct {
		sim *fixture.Slot
		l   net.Listener
		id  string
	}{
		"certificate": {fixture.NewSlot(ca.GoodSIM()), demanding(t, ca, "127.0.0.1:0"), ""},
		"PSK":         {fixture.NewSlot(fixture.PSKSIM(t, psk)), pskServer(t, psk, 0), "meter 1"},
	} {
		t.Run(name, func(t *testing.T) {
			server := answers(t, c.l, same)
			s := newStage(t, c.sim, server.Addr().String(), func(o *Options) {
				overUDP(o)
				o.MTU = 500
				o.Identity = func() string { return c.id }
			})
			client := s.client()
			client.asks(strings.Repeat("x", 436))
			client.say(strings.Repeat("x", 490))
			client.say(strings.Repeat("x", 490))
			client.asks("and on")
			s.log.Await(t, "it does not fit the MTU", "mtu=500")
			if n := s.log.Count("does not fit the MTU"); n != 1 {
				t.Errorf("the log says it %d times", n)
			}
		})
	}
}

func TestATunnelThatIsToldToStopEndsItsSessions(t *testing.T) {
	ca := fixture.NewCA(t)
	server := answers(t, demanding(t, ca, "127.0.0.1:0"), same)
	s := newStage(t, fixture.NewSlot(ca.GoodSIM()), server.Addr().String(), overUDP)
	s.client().asks("hello")
	s.stop()
	for deadline := time.Now().Add(patience); server.ended.Load() == 0; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server was not told")
		}
	}
}
