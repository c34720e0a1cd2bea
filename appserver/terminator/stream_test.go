package terminator

import (
	"bytes"
	"github.com/simroot/simroot/internal/testlog"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

var streams = []Kind{TLS, TLSPSK}

func TestStreamsReachTheServerBehindAndTheEndOfEachDirectionIsPassedOn(t *testing.T) {
	for _, kind := range streams {
		t.Run(string(kind), func(t *testing.T) {
			behind := listenPlain(t)
			s := terminate(t, kind, Nothing, behind.address(), Options{})
			device := s.connect(s.device(1))
			server := behind.accept()
			say(t, device, "a question")
			if err := device.(stream).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			hear(t, server, "a question")
			hearEnd(t, server)
			long := strings.Repeat("a long answer ", 100_000)
			go io.WriteString(server, long) //nolint:errcheck // hear will tell
			hear(t, device, long)
			server.Close()
			hearEnd(t, device)
		})
	}
}

func TestWhatBreaksIsNotTakenForAProperEnd(t *testing.T) {
	for _, kind := range streams {
		t.Run(string(kind), func(t *testing.T) {
			behind := listenPlain(t)
			s := terminate(t, kind, Nothing, behind.address(), Options{})
			device := s.connect(s.device(1))
			server := behind.accept()
			say(t, device, "half a sen")
			hear(t, server, "half a sen")
			under := device.(interface{ NetConn() net.Conn })
			under.NetConn().Close() // without close_notify
			hearReset(t, server)
		})
	}
}

func TestARevokedSIMIsCutOffFromTheServerBehind(t *testing.T) {
	for _, kind := range streams {
		t.Run(string(kind), func(t *testing.T) {
			behind := listenPlain(t)
			s := terminate(t, kind, Nothing, behind.address(), Options{})
			d := s.device(1)
			device := s.connect(d)
			server := behind.accept()
			say(t, device, "x")
			hear(t, server, "x")
			s.revoke(d)
			hearReset(t, server)
			if _, err := device.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Errorf("the device reads on: %v", err)
			}
			again, err := s.dial(d)
			if err == nil { // TLS 1.3: the answer comes when it reads
				_, err = again.Read(make([]byte, 1))
			}
			if err == nil {
				t.Error("it was let in again")
			}
		})
	}
}

// A server that neither reads nor writes is told all the same.
func TestARevokedSIMIsCutOffFromAServerThatDoesNotRead(t *testing.T) {
	behind := listenPlain(t)
	s := terminate(t, TLS, Nothing, behind.address(), Options{})
	d := s.device(1)
	device := s.connect(d)
	server := behind.accept()
	device.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck // the test would hang and tell
	for {                                                // until everything between is full
		if _, err := device.Write(make([]byte, 1<<16)); err != nil {
			break
		}
	}
	s.revoke(d)
	hearReset(t, server)
}

func TestAServerBehindThatIsNotThereIsToldOfOnceAndDevicesEachTime(t *testing.T) {
	behind := listenPlain(t)
	address := behind.address()
	behind.Close()
	s := terminate(t, TLS, Nothing, address, Options{})
	d := s.device(1)
	for range 5 {
		hearEnd(t, s.connect(d))
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	device := s.connect(d)
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	say(t, device, "x")
	hear(t, server, "x")
	if n := s.log.Count("cannot be reached"); n != 1 {
		t.Errorf("%d lines of its absence, want 1", n)
	}
	if n := s.log.Count(`"refused meanwhile"=5`); n != 1 {
		t.Errorf("%d lines of its return, want 1", n)
	}
}

func TestHalfAStreamEndsWhenTheOtherHalfHasNothingToSay(t *testing.T) {
	behind := listenPlain(t)
	s := terminate(t, TLS, Nothing, behind.address(), Options{HalfClosed: 50 * time.Millisecond})
	device := s.connect(s.device(1))
	server := behind.accept()
	if err := device.(stream).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	hearEnd(t, server)
	if _, err := io.Copy(io.Discard, device); err != nil { // a close_notify
		t.Error(err)
	}
}

func TestThereAreNoMoreConnectionsThanAllowed(t *testing.T) {
	for name, o := range map[string]Options{"in all": {Connections: 2}, "of an address": {PerAddress: 2}} {
		t.Run(name, func(t *testing.T) {
			behind := listenPlain(t)
			s := terminate(t, TLS, Nothing, behind.address(), o)
			d := s.device(1)
			first := s.connect(d)
			s.connect(d)
			server := behind.accept()
			behind.accept()
			for range 3 {
				if _, err := s.dial(d); err == nil {
					t.Fatal("one more was let in")
				}
			}
			if n := s.log.Count("too many connections"); n != 1 {
				t.Errorf("%d lines tell of it, want 1", n)
			}
			first.Close()
			server.Close()
			for deadline := time.Now().Add(patience); ; {
				if _, err := s.dial(d); err == nil {
					behind.accept()
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("a connection that has ended keeps its place")
				}
			}
		})
	}
}

func TestASIMHasNoMoreConnectionsThanAllowedAndOthersHaveTheirs(t *testing.T) {
	for _, tell := range []Tell{Nothing, HTTP} {
		t.Run(string(tell), func(t *testing.T) {
			behind := listenPlain(t)
			s := terminate(t, TLS, tell, behind.address(), Options{PerSIM: 1, Drain: time.Millisecond})
			d, other := s.device(1), s.device(2)
			first := s.connect(d)
			if tell == Nothing {
				behind.accept().Close()
				hearEnd(t, first)
			}
			hearEnd(t, s.connect(d)) // the first has ended in one direction only
			if n := s.log.Count("a SIM has too many connections"); n != 1 {
				t.Errorf("%d lines tell of it, want 1", n)
			}
			s.connect(other)
			if tell == Nothing {
				behind.accept()
			}
			first.Close()
			for deadline := time.Now().Add(patience); ; {
				conn := s.connect(d)
				conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) //nolint:errcheck // dialled again
				if _, err := conn.Read(make([]byte, 1)); os.IsTimeout(err) {
					break // it stands
				}
				if time.Now().After(deadline) {
					t.Fatal("a connection that has ended keeps its place")
				}
			}
		})
	}
}

func TestWhatStandsMayEndWhenTheTerminatorStopsAndIsCutIfItDoesNot(t *testing.T) {
	behind := listenPlain(t)
	s := terminate(t, TLS, Nothing, behind.address(), Options{Drain: 500 * time.Millisecond})
	d := s.device(1)
	polite, stubborn := s.connect(d), net.Conn(nil)
	servers := []*net.TCPConn{behind.accept()}
	stubborn = s.connect(d)
	servers = append(servers, behind.accept())
	say(t, polite, "a question")
	hear(t, servers[0], "a question")
	say(t, stubborn, "a beginning") // it stands: stopped while it dials, a terminator just lets go
	hear(t, servers[1], "a beginning")
	s.stop()
	say(t, servers[0], "an answer")
	hear(t, polite, "an answer")
	servers[0].Close()
	hearEnd(t, polite)
	select {
	case <-s.stopped:
		t.Error("it stopped before the other one had its time")
	default:
	}
	within(t, "the terminator to stop", s.stopped)
	hearReset(t, servers[1])
	if _, err := stubborn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the stubborn one reads on: %v", err)
	}
	if _, err := net.Dial("tcp", s.way.Listen); err == nil {
		t.Error("somebody was accepted after the end")
	}
}

func TestARenewedCertificateOfTheServerIsReadAgainAndABrokenOneIsNot(t *testing.T) {
	s := terminate(t, TLS, Nothing, nobody(t), Options{})
	dir := t.TempDir()
	chain, key := dir+"/chain.pem", dir+"/key.pem"
	write := func() {
		t.Helper()
		if err := s.platform.CA.Write(t, dir, "root.pem", "chain.pem", "key.pem"); err != nil {
			t.Fatal(err)
		}
	}
	write()
	log := testlog.New(t)
	c, err := LoadCertificate(chain, key, log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	first, _ := c.Get()
	again := func() []byte {
		t.Helper()
		c.looked = time.Time{}
		now, err := c.Get()
		if err != nil {
			t.Fatal(err)
		}
		return now.Certificate[0]
	}
	if err := os.WriteFile(chain, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again(), first.Certificate[0]) || log.Count("the old one serves on") != 1 {
		t.Error("a broken certificate has taken the place of a good one, or nothing was said")
	}
	write()
	if bytes.Equal(again(), first.Certificate[0]) {
		t.Error("the new certificate is not used")
	}
}
