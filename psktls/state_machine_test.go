package psktls

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// An imposter is the peer of the side under test. It does everything as it should up to
// one record, in place of which it sends another, and then no more.
type imposter struct {
	net.Conn
	self *Conn
	at   int // which of its records

	// instead makes what is sent from what should be: the type and content of one record,
	// whose protection is as it should be unless bare.
	instead func(kind uint8, content []byte) (uint8, []byte)
	bare    bool

	sent, sealed int  // records so far, and of these protected ones
	changed      bool // change_cipher_spec of TLS 1.2 is sent
}

// Write is called with the flights of the peer's handshake.
func (i *imposter) Write(flight []byte) (int, error) {
	n := len(flight)
	for len(flight) > 0 && i.sent <= i.at {
		record := flight[:recordHeaderLen+int(binary.BigEndian.Uint16(flight[3:]))]
		flight = flight[len(record):]
		p := &protection{}
		old := i.self.out.version == VersionTLS12
		if i.changed || !old && record[0] == recordApplicationData {
			now := *i.self.out.protection // all of a flight's protected records have the same key
			p = &now
			p.seq = uint64(i.sealed)
			i.sealed++
		}
		i.changed = i.changed || old && record[0] == recordChangeCipherSpec
		if i.sent == i.at {
			record = i.replace(p, record)
		}
		i.sent++
		if _, err := i.Conn.Write(record); err != nil {
			return 0, err
		}
	}
	if i.sent > i.at {
		i.Conn.(*end).out.end()
	}
	return n, nil
}

func (i *imposter) replace(p *protection, record []byte) []byte {
	kind, content := record[0], slices.Clone(record[recordHeaderLen:])
	if p.aead != nil {
		kind, content = recordHandshake, nil // nothing that a test needs to see
	}
	kind, content = i.instead(kind, content)
	if i.bare {
		p = &protection{}
	}
	out, err := p.seal(nil, kind, content)
	if err != nil {
		panic(err)
	}
	return out
}

// A course is one way that a handshake goes.
type course struct {
	name           string
	client, server *Config
	// What each side sends, record by record: the type of the handshake message, or ccs.
	fromClient, fromServer []int
	// certified is set where the server is a certificateServer, which is an imposter only.
	certified *certificateServer
}

// victims are the sides that can be deceived in a course: is it the client?
func (c course) victims() []bool {
	if c.certified != nil {
		return []bool{true}
	}
	return []bool{true, false}
}

// serve does the handshake of the course's server.
func (c course) serve(s *Conn) error {
	if c.certified != nil {
		return c.certified.handshake(s)
	}
	return s.Handshake()
}

const (
	ccs = 1000 + iota
	appData
	unknownRecord
)

func courses(t testing.TB) []course {
	version := func(c *Config, v uint16) *Config { c.MinVersion, c.MaxVersion = v, v; return c }
	plain := func(c *Config) *Config { c.AllowPSKOnly, c.Curves = true, []tls.CurveID{}; return c }
	p256 := func(c *Config) *Config { c.Curves = []tls.CurveID{CurveP256}; return c }
	const (
		ch, sh, ske, shd, cke, ee, fin = int(typeClientHello), int(typeServerHello), int(typeServerKeyExchange),
			int(typeServerHelloDone), int(typeClientKeyExchange), int(typeEncryptedExtensions), int(typeFinished)
	)
	all := []course{
		{"TLS 1.2 ECDHE_PSK", version(clientConfig(), VersionTLS12), version(serverConfig(), VersionTLS12),
			[]int{ch, cke, ccs, fin}, []int{sh, ske, shd, ccs, fin}, nil},
		{"TLS 1.2 PSK", plain(version(clientConfig(), VersionTLS12)), plain(version(serverConfig(), VersionTLS12)),
			[]int{ch, cke, ccs, fin}, []int{sh, shd, ccs, fin}, nil},
		{"TLS 1.3 psk_dhe_ke", version(clientConfig(), VersionTLS13), version(serverConfig(), VersionTLS13),
			[]int{ch, fin}, []int{sh, ee, fin}, nil},
		{"TLS 1.3 psk_ke", plain(version(clientConfig(), VersionTLS13)), plain(version(serverConfig(), VersionTLS13)),
			[]int{ch, fin}, []int{sh, ee, fin}, nil},
		{"TLS 1.3 with HelloRetryRequest", version(clientConfig(), VersionTLS13), p256(version(serverConfig(), VersionTLS13)),
			[]int{ch, ch, fin}, []int{sh, sh, ee, fin}, nil},
	}
	const cr, cert, cv = int(typeCertificateRequest), int(typeCertificate), int(typeCertificateVerify)
	a := newAuthority(t)
	for _, asks := range []bool{false, true} {
		client, server := a.certified()
		client.MinVersion = VersionTLS13
		next := course{"TLS 1.3 with certificates", client, serverConfig(),
			[]int{ch, fin}, []int{sh, ee, cert, cv, fin}, &certificateServer{own: server.Certificates[0], asks: asks}}
		if asks {
			next.name += " of both"
			next.fromClient, next.fromServer = []int{ch, cert, cv, fin}, []int{sh, ee, cr, cert, cv, fin}
		}
		all = append(all, next)
	}
	return all
}

// deceived does the handshake of a course with an imposter as one side, and returns the error of the
// other side and of the imposter.
func deceived(t *testing.T, c course, client bool, at int, instead func(uint8, []byte) (uint8, []byte), bare bool) (err, imposterErr error) {
	t.Helper()
	a, b := pipe()
	i := &imposter{Conn: b, at: at, instead: instead, bare: bare}
	victim := Client(a, c.client)
	i.self = Server(i, c.server)
	if !client {
		victim = Server(a, c.server)
		i.self = Client(i, c.client)
	}
	done := make(chan error, 1)
	go func() {
		// Who sends the last message is done with the handshake, and hears of it when it reads.
		err := error(nil)
		if client {
			err = c.serve(i.self)
		}
		if err == nil {
			_, err = i.self.Read(make([]byte, 1))
		}
		done <- err
	}()
	err = victim.Handshake()
	a.Close()
	return err, <-done
}

// everything is one of each message and record.
func everything() []int {
	all := []int{ccs, appData, unknownRecord, 99}
	for _, kind := range []uint8{typeHelloRequest, typeClientHello, typeServerHello, typeNewSessionTicket, typeEndOfEarlyData,
		typeEncryptedExtensions, typeCertificate, typeServerKeyExchange, typeCertificateRequest, typeServerHelloDone,
		typeCertificateVerify, typeClientKeyExchange, typeFinished, 22, 23, typeKeyUpdate, typeMessageHash} {
		all = append(all, int(kind))
	}
	return all
}

// recordOf is the record for a message of everything, with an empty body.
func recordOf(what int) (uint8, []byte) {
	switch what {
	case ccs:
		return recordChangeCipherSpec, []byte{1}
	case appData:
		return recordApplicationData, []byte("data")
	case unknownRecord:
		return 30, []byte("data")
	}
	return recordHandshake, []byte{byte(what), 0, 0, 0}
}

// expectation is the alert for a message in the state where should was to come: tolerated
// is true where it is passed over, and the end of the connection is what is noticed.
func expectation(c course, client bool, at, should, got int) (alert Alert, tolerated, skip bool) {
	version := c.client.MinVersion
	protected := version == VersionTLS13 && should != int(typeServerHello) && should != int(typeClientHello)
	switch {
	case got == ccs && version == VersionTLS13 && !protected && (client || at > 0):
		return 0, true, false
	case got == should && should == ccs, got == should && should == int(typeServerHelloDone):
		return 0, false, true // that is what was to come
	case got == should:
		return AlertDecodeError, false, false // its body is empty
	case got == int(typeCertificateRequest) && should == int(typeCertificate) && c.certified != nil && !c.certified.asks: // may come
		return AlertDecodeError, false, false
	case got == int(typeCertificate) && should == int(typeCertificateRequest): // may be missing
		return AlertDecodeError, false, false
	case got == int(typeServerKeyExchange) && should == int(typeServerHelloDone) && at == 1: // may come in PSK
		return AlertDecodeError, false, false
	case got == int(typeHelloRequest) && client && version == VersionTLS12 && should != ccs:
		return 0, true, false
	}
	return AlertUnexpectedMessage, false, false
}

func TestEveryMessageInEveryState(t *testing.T) {
	for _, c := range courses(t) {
		for _, client := range c.victims() {
			states := c.fromServer
			if !client {
				states = c.fromClient
			}
			for at, should := range states {
				for _, got := range everything() {
					alert, tolerated, skip := expectation(c, client, at, should, got)
					if skip {
						continue
					}
					name := fmt.Sprintf("%s, client %v, %d instead of message %d (%d)", c.name, client, got, at, should)
					err, peerErr := deceived(t, c, client, at, func(uint8, []byte) (uint8, []byte) { return recordOf(got) }, false)
					if tolerated {
						if !errors.Is(err, io.ErrUnexpectedEOF) {
							t.Errorf("%s: %v, want it passed over", name, err)
						}
						continue
					}
					var local, remote *AlertError
					if !errors.As(err, &local) || local.Remote || local.Alert != alert {
						t.Errorf("%s: %v, want %v", name, err, alert)
						continue
					}
					if !errors.As(peerErr, &remote) || !remote.Remote || remote.Alert != alert {
						t.Errorf("%s: the peer sees %v, want %v", name, peerErr, alert)
					}
				}
			}
		}
	}
}

func TestWhatMustBeProtectedIsNotTakenBare(t *testing.T) {
	for _, c := range courses(t) {
		for _, client := range c.victims() {
			last, alert := len(c.fromServer)-1, AlertUnexpectedMessage
			if !client {
				last = len(c.fromClient) - 1
			}
			if c.client.MinVersion == VersionTLS12 {
				alert = AlertBadRecordMAC
			}
			err, _ := deceived(t, c, client, last, func(uint8, []byte) (uint8, []byte) { return recordOf(int(typeFinished)) }, true)
			wantAlert(t, err, alert, false)
		}
	}
}

func TestAMessageDoesNotLieAcrossAChangeOfKeys(t *testing.T) {
	for _, c := range courses(t) {
		for _, client := range c.victims() {
			at, glue := 0, []byte{typeEncryptedExtensions, 0} // the beginning of the next message
			switch {
			case c.client.MinVersion == VersionTLS12 && client:
				at = slices.Index(c.fromServer, int(typeServerHelloDone))
			case c.client.MinVersion == VersionTLS12:
				at = slices.Index(c.fromClient, int(typeClientKeyExchange))
			case client:
				at = slices.Index(c.fromServer, int(typeEncryptedExtensions)) - 1
			default:
				at = len(c.fromClient) - 2
			}
			err, _ := deceived(t, c, client, at, func(kind uint8, content []byte) (uint8, []byte) { return kind, append(content, glue...) }, false)
			if client || c.client.MinVersion == VersionTLS13 {
				wantAlert(t, err, AlertUnexpectedMessage, false)
			} else if err == nil {
				t.Errorf("%s: taken", c.name)
			}
		}
	}
}

func TestEveryMessageAfterTheHandshake(t *testing.T) {
	for _, c := range courses(t) {
		for _, fromServer := range c.victims() {
			for _, got := range everything() {
				if got == appData {
					continue
				}
				alert := AlertUnexpectedMessage
				switch {
				case c.client.MinVersion == VersionTLS13 && got == int(typeKeyUpdate),
					c.client.MinVersion == VersionTLS13 && got == int(typeNewSessionTicket) && fromServer:
					alert = AlertDecodeError
				case c.client.MinVersion == VersionTLS12 && (fromServer && got == int(typeHelloRequest) || !fromServer && got == int(typeClientHello)):
					alert = AlertNoRenegotiation
				}
				victim, peer := c.connected(t)
				if !fromServer {
					victim, peer = peer, victim
				}
				kind, content := recordOf(got)
				inject(t, peer, kind, content)
				_, err := victim.Read(make([]byte, 1))
				var a *AlertError
				if !errors.As(err, &a) || a.Remote || a.Alert != alert {
					t.Errorf("%s, from server %v, %d: %v, want %v", c.name, fromServer, got, err, alert)
				}
				_, err = peer.Read(make([]byte, 1))
				if !errors.As(err, &a) || !a.Remote || a.Alert != alert {
					t.Errorf("%s, from server %v, %d: the peer sees %v, want %v", c.name, fromServer, got, err, alert)
				}
				if _, err := victim.Write([]byte("x")); err == nil {
					t.Errorf("%s: still writes after a fatal alert", c.name)
				}
			}
		}
	}
}

// inject has a side send any record.
func inject(t *testing.T, c *Conn, kind uint8, content []byte) {
	t.Helper()
	c.out.Lock()
	defer c.out.Unlock()
	if err := errors.Join(c.writeRecord(kind, content), c.flush()); err != nil {
		t.Fatal(err)
	}
}

func TestUselessMessagesAreBorneForAWhile(t *testing.T) {
	keyUpdate := []byte{typeKeyUpdate, 0, 0, 1, 0}
	ticket := []byte{typeNewSessionTicket, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 'x', 0, 0}
	for _, c := range courses(t) {
		c13 := c.client.MinVersion == VersionTLS13
		for name, send := range map[string]func(s *Conn){
			"empty data": func(s *Conn) { inject(t, s, recordApplicationData, nil) },
			"warnings":   func(s *Conn) { inject(t, s, recordAlert, []byte{alertLevelWarning, byte(AlertUserCanceled)}) },
			"tickets":    func(s *Conn) { inject(t, s, recordHandshake, ticket) },
			"key updates": func(s *Conn) {
				inject(t, s, recordHandshake, keyUpdate)
				s.out.Lock()
				defer s.out.Unlock()
				next, err := s.out.protection.next(s.suite)
				if err != nil {
					t.Error(err)
				}
				s.out.protection = next
			},
		} {
			if !c13 && (name == "tickets" || name == "key updates") {
				continue
			}
			client, server := c.connected(t)
			for range maxIdle {
				send(server)
			}
			if _, err := server.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Read(make([]byte, 1)); err != nil {
				t.Errorf("%s, %s: %v", c.name, name, err)
			}
			for range maxIdle + 1 {
				send(server)
			}
			_, err := client.Read(make([]byte, 1))
			if wantAlert(t, err, AlertUnexpectedMessage, false); err != nil && !strings.Contains(err.Error(), "in a row") {
				t.Errorf("%s, %s: %v", c.name, name, err)
			}
		}
	}
}
