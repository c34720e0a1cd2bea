package psktls

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// overTCP is a connected pair over loopback, where deadlines are real.
func overTCP(t *testing.T, client, server *Config) (c, s *Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = NewListener(l, server)
	defer l.Close()
	accepted := make(chan *Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.(*Conn).HandshakeContext(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
		accepted <- conn.(*Conn)
	}()
	c, err = Dial(t.Context(), "tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	s = <-accepted
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

func versions(t *testing.T, test func(t *testing.T, client *Config)) {
	t.Helper()
	for name, version := range map[string]uint16{"TLS 1.2": VersionTLS12, "TLS 1.3": VersionTLS13} {
		t.Run(name, func(t *testing.T) { test(t, clientConfig2(version)) })
	}
}

func TestCloseIsHeardAndHalfAConnectionGoesOn(t *testing.T) {
	versions(t, func(t *testing.T, client *Config) {
		c, s := overTCP(t, client, serverConfig())
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read after close_notify: %v", err)
		}
		if _, err := s.Write([]byte("still here")); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "still here" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAConnectionCutOffIsNoEnd(t *testing.T) {
	versions(t, func(t *testing.T, client *Config) {
		c, s := overTCP(t, client, serverConfig())
		if _, err := s.Write([]byte("half a")); err != nil {
			t.Fatal(err)
		}
		s.NetConn().Close()
		if got, err := io.ReadAll(c); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "half a" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAReadThatTimesOutMayBeRepeated(t *testing.T) {
	versions(t, func(t *testing.T, client *Config) {
		c, s := overTCP(t, client, serverConfig())
		// Half a record, then nothing for a while.
		s.out.Lock()
		if err := s.writeRecord(recordApplicationData, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		record := slices.Clone(s.out.buf)
		s.out.buf = s.out.buf[:0]
		s.out.Unlock()
		for i, part := range [][]byte{record[:3], record[3:9], record[9:]} {
			if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("part %d: %v", i, err)
			}
			if _, err := s.NetConn().Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestCloseEndsReadAndWrite(t *testing.T) {
	versions(t, func(t *testing.T, client *Config) {
		c, _ := overTCP(t, client, serverConfig())
		var ends sync.WaitGroup
		ends.Go(func() {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("Read goes on after Close")
			}
		})
		ends.Go(func() { // nobody reads on the other side: some time it blocks
			for {
				if _, err := c.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		ends.Wait()
	})
}

func TestBothDirectionsAtOnce(t *testing.T) {
	versions(t, func(t *testing.T, client *Config) {
		c, s := overTCP(t, client, serverConfig())
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<15)
		var all sync.WaitGroup
		for _, side := range []*Conn{c, s} {
			all.Go(func() {
				for range 4 {
					if _, err := side.Write(data[:len(data)/4]); err != nil {
						t.Error(err)
					}
					if side.suite.version == VersionTLS13 {
						if err := side.UpdateKeys(true); err != nil {
							t.Error(err)
						}
					}
				}
			})
			all.Go(func() {
				got := make([]byte, len(data))
				if _, err := io.ReadFull(side, got); err != nil || !bytes.Equal(got, data) {
					t.Errorf("other data, %v", err)
				}
			})
		}
		all.Wait()
	})
}

func TestKeysChangeOnBothSidesAndByThemselves(t *testing.T) {
	c, s := connected(t, clientConfig2(VersionTLS13), serverConfig())
	before := s.out.secret
	if err := c.UpdateKeys(true); err != nil {
		t.Fatal(err)
	}
	echo(t, c, s, []byte("hello"))
	if bytes.Equal(before, s.out.secret) {
		t.Error("the peer did not change its key when asked")
	}
	if !bytes.Equal(c.out.secret, s.in.secret) || !bytes.Equal(s.out.secret, c.in.secret) {
		t.Error("the sides have other keys")
	}
	before = c.out.secret
	c.out.seq, s.in.seq = rekeyAfter, rekeyAfter
	echo(t, c, s, []byte("hello"))
	if bytes.Equal(before, c.out.secret) {
		t.Error("the key is used for ever")
	}

	c, _ = connected(t, clientConfig2(VersionTLS12), serverConfig())
	if err := c.UpdateKeys(false); !errors.Is(err, ErrNoKeyUpdate) {
		t.Error(err)
	}
	c.out.seq = math.MaxUint64
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("a record number is used twice")
	}
}

func TestAWrongKeyUpdateIsRefused(t *testing.T) {
	c, s := connected(t, clientConfig2(VersionTLS13), serverConfig())
	inject(t, c, recordHandshake, []byte{typeKeyUpdate, 0, 0, 1, 2})
	_, err := s.Read(make([]byte, 1))
	wantAlert(t, err, AlertIllegalParameter, false)

	c, s = connected(t, clientConfig2(VersionTLS13), serverConfig())
	inject(t, c, recordHandshake, []byte{typeKeyUpdate, 0, 0, 1, 0, typeKeyUpdate, 0, 0, 1, 0})
	_, err = s.Read(make([]byte, 1))
	wantAlert(t, err, AlertUnexpectedMessage, false)
}

// A postman delivers records otherwise than they were sent.
type postman struct {
	*end
	deliver func(records [][]byte) [][]byte
}

func (p *postman) Write(b []byte) (int, error) {
	n := len(b)
	if p.deliver == nil {
		return p.end.Write(b)
	}
	var records [][]byte
	for len(b) > 0 {
		m := recordHeaderLen + int(binary.BigEndian.Uint16(b[3:]))
		records, b = append(records, slices.Clone(b[:m])), b[m:]
	}
	for _, r := range p.deliver(records) {
		if _, err := p.end.Write(r); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func TestRecordsThatAreTamperedWith(t *testing.T) {
	var held []byte
	for name, c := range map[string]struct {
		deliver func([][]byte) [][]byte
		alert   Alert
	}{
		"a flipped bit in the tag":   {func(r [][]byte) [][]byte { r[0][len(r[0])-1] ^= 1; return r }, AlertBadRecordMAC},
		"a flipped bit in the text":  {func(r [][]byte) [][]byte { r[0][recordHeaderLen+8] ^= 0x80; return r }, AlertBadRecordMAC},
		"a flipped bit in the nonce": {func(r [][]byte) [][]byte { r[0][recordHeaderLen] ^= 1; return r }, AlertBadRecordMAC},
		"a record twice":             {func(r [][]byte) [][]byte { return append(r, r[0]) }, AlertBadRecordMAC},
		"a record left out, or later": {func(r [][]byte) [][]byte {
			if held == nil {
				held = r[0]
				return nil
			}
			return append(r, held)
		}, AlertBadRecordMAC},
		"a record cut short": {func(r [][]byte) [][]byte {
			r[0] = r[0][:len(r[0])-1]
			r[0][4]--
			return r
		}, AlertBadRecordMAC},
		"a record of nearly nothing": {func(r [][]byte) [][]byte { return [][]byte{{r[0][0], 3, 3, 0, 1, 0}} }, AlertBadRecordMAC},
		"a record too long":          {func(r [][]byte) [][]byte { return [][]byte{{r[0][0], 3, 3, 0x48, 1}} }, AlertRecordOverflow},
		"an unknown type":            {func(r [][]byte) [][]byte { r[0][0] = 99; return r }, AlertUnexpectedMessage},
		"SSL 2":                      {func(r [][]byte) [][]byte { r[0][1] = 2; return r }, AlertProtocolVersion},
	} {
		for _, suite := range suites {
			t.Run(name+"/"+suite.name, func(t *testing.T) {
				held = nil
				a, b := pipe()
				post := &postman{end: a}
				client, server := Client(post, with(clientConfig(), suite)), Server(b, with(serverConfig(), suite))
				go client.Handshake() //nolint:errcheck // the server's read tells
				if err := server.Handshake(); err != nil {
					t.Fatal(err)
				}
				if err := client.Handshake(); err != nil {
					t.Fatal(err)
				}
				post.deliver = c.deliver
				for range 2 {
					if _, err := client.Write([]byte("hello hello hello")); err != nil {
						t.Fatal(err)
					}
				}
				var err error
				for err == nil {
					var n int
					buf := make([]byte, 64)
					if n, err = server.Read(buf); n > 0 && !bytes.Equal(buf[:n], []byte("hello hello hello")) {
						t.Fatalf("%q arrives", buf[:n])
					}
				}
				wantAlert(t, err, c.alert, false)
				_, err = client.Read(make([]byte, 1))
				wantAlert(t, err, c.alert, true)
			})
		}
	}
}

// crumbs writes a byte at a time, each handshake message in records of its own if it is plain.
type crumbs struct{ *end }

func (c crumbs) Write(b []byte) (int, error) {
	for i := 0; i < len(b); {
		n := recordHeaderLen + int(binary.BigEndian.Uint16(b[i+3:]))
		if record := b[i : i+n]; record[0] == recordHandshake && record[recordHeaderLen] == typeClientHello {
			for _, x := range record[recordHeaderLen:] {
				if _, err := c.end.Write([]byte{recordHandshake, 3, 1, 0, 1, x}); err != nil {
					return i, err
				}
			}
		} else {
			for _, x := range record {
				if _, err := c.end.Write([]byte{x}); err != nil {
					return i, err
				}
			}
		}
		i += n
	}
	return len(b), nil
}

func TestMessagesMayComeInCrumbs(t *testing.T) {
	versions(t, func(t *testing.T, config *Config) {
		a, b := pipe()
		client, server := Client(crumbs{a}, config), Server(crumbs{b}, serverConfig())
		go server.Handshake() //nolint:errcheck // echo tells
		echo(t, client, server, []byte("hello"))
	})
}

func TestAnEndlessMessageIsNotWaitedFor(t *testing.T) {
	a, b := pipe()
	server := Server(b, serverConfig())
	if _, err := a.Write([]byte{recordHandshake, 3, 1, 0, 4, typeClientHello, 1, 0, 1}); err != nil {
		t.Fatal(err)
	}
	wantAlert(t, server.Handshake(), AlertDecodeError, false)
}

func TestEarlyDataIsRefusedAndThrownAway(t *testing.T) {
	a, b := pipe()
	client := Client(a, clientConfig2(VersionTLS13))
	server := Server(b, serverConfig())
	server.in.skip = maxRefusedEarlyData // as if the ClientHello had offered it
	early := &postman{end: a}
	early.deliver = func(records [][]byte) [][]byte {
		early.deliver = nil
		return append(records, append([]byte{recordApplicationData, 3, 3, 0, 40}, make([]byte, 40)...))
	}
	client.conn = early
	go client.Handshake() //nolint:errcheck // echo tells
	echo(t, server, client, []byte("hello"))
}

func TestAContextEndsAHandshake(t *testing.T) {
	versions(t, func(t *testing.T, config *Config) {
		a, _ := pipe() // nobody answers
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		cancel(why)
		client := Client(a, config)
		if err := client.HandshakeContext(ctx); !errors.Is(err, why) {
			t.Error(err)
		}
		if err := client.Handshake(); !errors.Is(err, why) {
			t.Errorf("a second handshake: %v", err)
		}
	})
}

func TestTheKeyLogHasWhatWiresharkNeeds(t *testing.T) {
	versions(t, func(t *testing.T, client *Config) {
		var log, other bytes.Buffer
		client.KeyLogWriter = &log
		server := serverConfig()
		server.KeyLogWriter = &other
		connected(t, client, server)
		labels := []string{"CLIENT_RANDOM"}
		if client.MinVersion == VersionTLS13 {
			labels = []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET"}
		}
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		if len(lines) != len(labels) || log.String() != other.String() {
			t.Fatalf("client logs\n%s, server\n%s", &log, &other)
		}
		for i, line := range lines {
			if fields := strings.Fields(line); len(fields) != 3 || fields[0] != labels[i] || len(fields[1]) != 64 {
				t.Errorf("line %q", line)
			}
		}
	})
}

func TestKeyingMaterialIsGuarded(t *testing.T) {
	var none ConnectionState
	if _, err := none.ExportKeyingMaterial("l", nil, 1); !errors.Is(err, ErrNoExport) {
		t.Error(err)
	}
	versions(t, func(t *testing.T, client *Config) {
		c, s := connected(t, client, serverConfig())
		cs, ss := c.ConnectionState(), s.ConnectionState()
		for _, n := range []int{-1, maxExport + 1} {
			if _, err := cs.ExportKeyingMaterial("l", nil, n); err == nil {
				t.Errorf("%d bytes", n)
			}
		}
		a, errA := cs.ExportKeyingMaterial("l", nil, 32)
		b, errB := ss.ExportKeyingMaterial("l", nil, 32)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Error("the sides do not agree")
		}
		empty, err := ss.ExportKeyingMaterial("l", []byte{}, 32)
		if differs := !bytes.Equal(a, empty); err != nil || differs != (cs.Version == VersionTLS12) {
			t.Errorf("with an empty context: %v, differs %v", err, differs)
		}
		if _, err := cs.ExportKeyingMaterial("master secret", nil, 48); (err != nil) != (cs.Version == VersionTLS12) {
			t.Errorf("under TLS's own label: %v", err)
		}
	})
}
