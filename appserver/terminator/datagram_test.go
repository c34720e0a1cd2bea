package terminator

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

var datagramKinds = []Kind{DTLS, DTLSPSK}

// socket is a UDP server behind.
type socket struct {
	*testing.T
	*net.UDPConn
}

func listenSocket(t *testing.T) socket {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the test would hang and tell
	return socket{t, conn}
}

func (s socket) address() string { return s.LocalAddr().String() }

// next is the next datagram.
func (s socket) next() ([]byte, netip.AddrPort) {
	s.Helper()
	buf := make([]byte, 2000)
	n, from, err := s.ReadFromUDPAddrPort(buf)
	if err != nil {
		s.Fatal(err)
	}
	return buf[:n], from
}

func (s socket) answer(to netip.AddrPort, text string) {
	s.Helper()
	if _, err := s.WriteToUDPAddrPort([]byte(text), to); err != nil {
		s.Fatal(err)
	}
}

func TestDatagramsReachTheServerBehindAndAnswersTheSIMThatAsked(t *testing.T) {
	for _, kind := range datagramKinds {
		t.Run(string(kind), func(t *testing.T) {
			behind := listenSocket(t)
			s := terminate(t, kind, Nothing, behind.address(), Options{})
			one, other := s.connect(s.device(1)), s.connect(s.device(2))
			say(t, one, "one asks")
			first, fromOne := behind.next()
			say(t, other, "the other asks")
			second, fromOther := behind.next()
			if string(first) != "one asks" || string(second) != "the other asks" || fromOne == fromOther {
				t.Fatalf("%q from %s, %q from %s", first, fromOne, second, fromOther)
			}
			behind.answer(fromOther, "to the other")
			behind.answer(fromOne, "to the one")
			hear(t, one, "to the one")
			hear(t, other, "to the other")
			behind.answer(fromOne, "news") // unasked, as CoAP's observations come
			hear(t, one, "news")
		})
	}
}

// announced splits a datagram, as the judge reads it, into what is told of it and its content.
func announced(t *testing.T, datagram []byte) (*proxyproto.Header, string) {
	t.Helper()
	r := bytes.NewReader(datagram)
	reader := proxyReader(r)
	header, err := proxyproto.Read(reader)
	if err != nil {
		t.Fatalf("%v: %x", err, datagram)
	}
	rest := make([]byte, len(datagram))
	n, _ := reader.Read(rest)
	return header, string(rest[:n])
}

func TestDatagramsTellWhoSpeaks(t *testing.T) {
	for _, kind := range datagramKinds {
		for tell, each := range map[Tell]bool{ProxyV2: true, ProxyFirst: false} {
			t.Run(string(kind)+"/"+string(tell), func(t *testing.T) {
				behind := listenSocket(t)
				s := terminate(t, kind, tell, behind.address(), Options{})
				d := s.device(1)
				device := s.connect(d)
				say(t, device, "first")
				datagram, _ := behind.next()
				header, content := announced(t, datagram)
				if content != "first" || header.TransportProtocol != proxyproto.UDPv4 || addrPort(header.SourceAddr).Port() != addrPort(device.LocalAddr()).Port() {
					t.Errorf("%q, %v from %v", content, header.TransportProtocol, header.SourceAddr)
				}
				toldOf(t, s, header, d, "DTLSv1.2")
				say(t, device, "second")
				datagram, _ = behind.next()
				if each {
					if _, content = announced(t, datagram); content != "second" {
						t.Errorf("%q", content)
					}
				} else if string(datagram) != "second" {
					t.Errorf("%q", datagram)
				}
			})
		}
	}
}

func TestARevokedSIMsSessionEnds(t *testing.T) {
	for _, kind := range datagramKinds {
		t.Run(string(kind), func(t *testing.T) {
			behind := listenSocket(t)
			s := terminate(t, kind, Nothing, behind.address(), Options{})
			d := s.device(1)
			device := s.connect(d)
			say(t, device, "x")
			behind.next()
			s.revoke(d)
			if _, err := device.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Errorf("the device is not told: %v", err)
			}
		})
	}
}

func TestAServerBehindThatRefusesDatagramsEndsTheSession(t *testing.T) {
	behind := listenSocket(t)
	behind.Close()
	s := terminate(t, DTLSPSK, Nothing, behind.address(), Options{})
	device := s.connect(s.device(1))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := device.Read(make([]byte, 1)); os.IsTimeout(err) {
			t.Error("the device is not told")
		}
	}()
	for sent := false; !sent; {
		select {
		case <-ended:
			sent = true
		case <-time.After(10 * time.Millisecond): // a client's patience, which has no event
			device.Write([]byte("anybody there?")) //nolint:errcheck // the end is what is waited for
		}
	}
	if n := s.log.Count("cannot be reached"); n != 1 {
		t.Errorf("%d lines of its absence, want 1", n)
	}
}

func TestAServerBehindThatIsStartedAnewKeepsItsSessions(t *testing.T) {
	behind := listenSocket(t)
	s := terminate(t, DTLSPSK, Nothing, behind.address(), Options{})
	device := s.connect(s.device(1))
	behind.Close()
	say(t, device, "lost")
	s.log.Await(t, "cannot be reached")
	again, err := net.ListenUDP("udp", behind.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	behind.UDPConn = again
	again.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the test would hang and tell
	say(t, device, "heard")
	got, from := behind.next()
	if string(got) != "heard" {
		t.Errorf("%q", got)
	}
	behind.answer(from, "here")
	hear(t, device, "here")
	if s.log.Count("reached again") != 1 {
		t.Error("nothing is said of its return")
	}
}

func TestASIMHasNoMoreSessionsThanAllowed(t *testing.T) {
	behind := listenSocket(t)
	s := terminate(t, DTLSPSK, Nothing, behind.address(), Options{PerSIM: 1})
	d := s.device(1)
	first := s.connect(d)
	say(t, first, "first")
	behind.next()
	second := s.connect(d)
	if _, err := second.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the second is not told: %v", err)
	}
	say(t, first, "still here")
	if got, _ := behind.next(); string(got) != "still here" {
		t.Errorf("%q", got)
	}
}

func TestAQuietSessionEnds(t *testing.T) {
	behind := listenSocket(t)
	s := terminate(t, DTLSPSK, Nothing, behind.address(), Options{Idle: 50 * time.Millisecond})
	device := s.connect(s.device(1))
	if _, err := device.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the device is not told: %v", err)
	}
}

func TestARequestUnderWayHasItsAnswerWhenTheTerminatorStops(t *testing.T) {
	behind := listenSocket(t)
	s := terminate(t, DTLSPSK, Nothing, behind.address(), Options{})
	device := s.connect(s.device(1))
	say(t, device, "a question")
	_, from := behind.next()
	s.stop()
	behind.answer(from, "an answer")
	hear(t, device, "an answer")
	if _, err := device.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the device is not told of the end: %v", err)
	}
	within(t, "the terminator to stop", s.stopped)
}
