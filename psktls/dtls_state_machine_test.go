package psktls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A dtlsStage is a handshake that goes on record by record, and stops before one that is to
// come to the victim.
type dtlsStage struct {
	t            *testing.T
	now          time.Time
	victim, peer *DTLS
	toVictim     [][]byte
}

// dtlsCourse is one way that a DTLS handshake goes.
type dtlsCourse struct {
	name                   string
	plain                  bool
	fromServer, fromClient []int // messages, or ccs, in records; without a client's first hello
}

func dtlsCourses() []dtlsCourse {
	const (
		hvr, ch, sh, ske, shd, cke, fin = int(typeHelloVerifyRequest), int(typeClientHello), int(typeServerHello), int(typeServerKeyExchange),
			int(typeServerHelloDone), int(typeClientKeyExchange), int(typeFinished)
	)
	client := []int{ch, cke, ccs, fin}
	return []dtlsCourse{
		{"ECDHE_PSK", false, []int{hvr, sh, ske, shd, ccs, fin}, client},
		{"PSK", true, []int{hvr, sh, shd, ccs, fin}, client},
	}
}

// stageDTLS goes on until record number at is next to come to the victim.
func stageDTLS(t *testing.T, c dtlsCourse, client bool, at int) *dtlsStage {
	t.Helper()
	clientSet, serverSet := dtlsConfigs(TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256)
	if c.plain {
		clientSet, serverSet = dtlsConfigs(TLS_PSK_WITH_AES_128_GCM_SHA256)
		clientSet.Curves, serverSet.Curves = []tls.CurveID{}, []tls.CurveID{}
	}
	s := &dtlsStage{t: t, now: time.Unix(1e9, 0)}
	var err error
	if s.victim, err = NewDTLS(clientSet, true, DTLSOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.peer, err = NewDTLS(serverSet, false, DTLSOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.victim.Start(t.Context(), s.now), s.peer.Start(t.Context(), s.now)); err != nil {
		t.Fatal(err)
	}
	_, _, request := NewDTLSCookies().Check(s.now, "a", s.victim.Outgoing()[0])
	if client {
		s.toVictim = append(s.toVictim, request)
	} else {
		if err := s.victim.Receive(t.Context(), s.now, request); err != nil {
			t.Fatal(err)
		}
		s.victim, s.peer = s.peer, s.victim
	}
	for range at {
		s.pump()
		s.deliver()
	}
	s.pump()
	return s
}

// pump carries what the victim has said to the peer, and fetches what the peer has said.
func (s *dtlsStage) pump() {
	s.t.Helper()
	for _, d := range s.victim.Outgoing() {
		if err := s.peer.Receive(s.t.Context(), s.now, d); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, d := range s.peer.Outgoing() {
		for len(d) > 0 {
			r, rest, ok := cutRecord(d, 0)
			if !ok {
				s.t.Fatal("a datagram that cannot be cut")
			}
			s.toVictim, d = append(s.toVictim, r.raw), rest
		}
	}
}

// deliver gives the victim the next record.
func (s *dtlsStage) deliver() {
	s.t.Helper()
	if len(s.toVictim) == 0 {
		s.t.Fatal("nothing is next")
	}
	record := s.toVictim[0]
	s.toVictim = s.toVictim[1:]
	if err := s.victim.Receive(s.t.Context(), s.now, slices.Clone(record)); err != nil {
		s.t.Fatal(err)
	}
}

// finish goes on to the end, which must be good.
func (s *dtlsStage) finish() error {
	for range 10 {
		s.pump()
		if len(s.toVictim) > 0 {
			s.deliver()
		}
	}
	if !s.victim.Complete() || !s.peer.Complete() {
		return errors.New("the handshake does not come to its end")
	}
	return nil
}

// inject gives the victim one of everything, in an epoch and with the right numbers. number is of the
// message, relative to the one that is next.
func (s *dtlsStage) inject(what int, epoch, number uint16) error {
	kind, content := recordOf(what)
	if kind == recordHandshake {
		next := s.victim.next + number
		if s.victim.state == awaitClientHello {
			next = 1 // after the hello without a cookie
		}
		content = encodeDTLS(uint8(what), next, nil)
	}
	var p *protection
	if epoch == 1 {
		p = s.peer.write
	}
	return s.victim.Receive(s.t.Context(), s.now, rawRecord(s.t, p, kind, 40, content))
}

// dtlsExpectation is the alert for a message where should was to come, or silence, or that it
// is what was to come.
func dtlsExpectation(c dtlsCourse, client bool, state dtlsState, epoch uint16, got int) (alert Alert, silent, skip bool) {
	handshake := got < ccs
	is := func(kind uint8) bool { return got == int(kind) }
	switch {
	case !handshake, is(typeFinished) != (epoch == 1):
		return 0, true, false
	case epoch == 1: // an empty Finished
		return AlertDecodeError, false, false
	case client && is(typeHelloRequest):
		return 0, true, false
	}
	expected := map[dtlsState][]uint8{
		awaitServerHello:       {typeHelloVerifyRequest, typeServerHello},
		awaitServerKeyExchange: {typeServerKeyExchange},
		awaitClientHello:       {typeClientHello},
		awaitClientKeyExchange: {typeClientKeyExchange},
	}[state]
	switch {
	case is(typeServerHelloDone) && (state == awaitServerHelloDone || state == awaitServerKeyExchange && c.plain):
		return 0, false, true
	case handshake && slices.Contains(expected, uint8(got)):
		return AlertDecodeError, false, false // its body is empty
	}
	return AlertUnexpectedMessage, false, false
}

func everythingInDTLS() []int { return append(everything(), int(typeHelloVerifyRequest)) }

func TestEveryMessageInEveryStateOfDTLS(t *testing.T) {
	alerts, silences := 0, 0
	for _, c := range dtlsCourses() {
		for _, client := range []bool{true, false} {
			records := c.fromServer
			if !client {
				records = c.fromClient
			}
			for at, should := range records {
				for _, got := range everythingInDTLS() {
					for _, epoch := range []uint16{0, 1} {
						s := stageDTLS(t, c, client, at)
						if epoch == 1 && (s.victim.read == nil || s.peer.write == nil) {
							continue
						}
						alert, silent, skip := dtlsExpectation(c, client, s.victim.state, epoch, got)
						if skip {
							continue
						}
						name := fmt.Sprintf("%s, client %v, %d in epoch %d where record %d (%d) was next", c.name, client, got, epoch, at, should)
						state := s.victim.state
						err := s.inject(got, epoch, 0)
						if silent {
							silences++
							if err != nil || s.victim.state != state {
								t.Errorf("%s: %v, want it passed over", name, err)
							} else if got != int(typeHelloRequest) { // which has taken a number
								if err := s.finish(); err != nil {
									t.Errorf("%s: %v", name, err)
								}
							}
							continue
						}
						alerts++
						var local, remote *AlertError
						if !errors.As(err, &local) || local.Remote || local.Alert != alert {
							t.Errorf("%s: %v, want %v", name, err, alert)
							continue
						}
						var peerErr error
						for _, d := range s.victim.Outgoing() {
							peerErr = s.peer.Receive(t.Context(), s.now, d)
						}
						if !errors.As(peerErr, &remote) || !remote.Remote || remote.Alert != alert {
							t.Errorf("%s: the peer sees %v, want %v", name, peerErr, alert)
						}
					}
				}
			}
		}
	}
	if alerts < 300 || silences < 100 {
		t.Errorf("only %d alerts and %d silences were tried", alerts, silences)
	}
}

// Of what comes too early, too late or not authentic nothing is noticed, in any state.
func TestWhatIsOutOfTurnInDTLSDoesNoHarm(t *testing.T) {
	for _, c := range dtlsCourses() {
		for _, client := range []bool{true, false} {
			records := c.fromServer
			if !client {
				records = c.fromClient
			}
			for at := range records {
				s := stageDTLS(t, c, client, at)
				var err error
				for _, got := range everythingInDTLS() {
					if s.victim.state != awaitClientHello { // whose first message sets the number
						err = errors.Join(err, s.inject(got, 0, maxDTLSAhead), s.inject(got, 0, 1000), s.inject(got, 0, ^uint16(0)))
					}
					forged := rawRecord(t, nil, recordHandshake, 5, encodeDTLS(uint8(got), s.victim.next, nil))
					forged[4] = 1 // an epoch whose key it does not have
					err = errors.Join(err, s.victim.Receive(t.Context(), s.now, forged))
					forged[4] = 2
					err = errors.Join(err, s.victim.Receive(t.Context(), s.now, forged))
				}
				s.victim.early = nil // the forged ones are many: more than are kept
				if err = errors.Join(err, s.finish()); err != nil {
					t.Errorf("%s, client %v, before record %d: %v", c.name, client, at, err)
				}
			}
		}
	}
}

func TestEveryMessageAfterTheHandshakeOfDTLS(t *testing.T) {
	for _, c := range dtlsCourses() {
		for _, client := range []bool{true, false} {
			for _, got := range everythingInDTLS() {
				for _, epoch := range []uint16{0, 1} {
					s := stageDTLS(t, c, client, 0)
					if err := s.finish(); err != nil {
						t.Fatal(err)
					}
					if err := s.inject(got, epoch, 0); err != nil {
						t.Errorf("%s, client %v, %d in epoch %d: %v", c.name, client, got, epoch, err)
					}
					if data := s.victim.Incoming(); (len(data) == 1) != (got == appData && epoch == 1) {
						t.Errorf("%s, client %v, %d in epoch %d: %q", c.name, client, got, epoch, data)
					}
					if err := s.peer.Send([]byte("x")); err != nil {
						t.Fatal(err)
					}
					if err := s.victim.Receive(t.Context(), s.now, s.peer.Outgoing()[0]); err != nil || len(s.victim.Incoming()) != 1 {
						t.Errorf("%s, client %v, %d in epoch %d: the connection does not go on: %v", c.name, client, got, epoch, err)
					}
				}
			}
		}
	}
}

func TestAlertsInDTLSCountByLevelAndEpoch(t *testing.T) {
	for _, client := range []bool{true, false} {
		for _, x := range []struct {
			epoch uint16
			level byte
			alert Alert
			ends  bool
		}{
			{1, alertLevelFatal, AlertInternalError, true}, {1, alertLevelWarning, AlertCloseNotify, true},
			{1, alertLevelWarning, AlertNoRenegotiation, false}, {0, alertLevelFatal, AlertInternalError, false},
			{0, alertLevelWarning, AlertCloseNotify, false},
		} {
			s := stageDTLS(t, dtlsCourses()[0], client, 0)
			if err := s.finish(); err != nil {
				t.Fatal(err)
			}
			var p *protection
			if x.epoch == 1 {
				p = s.peer.write
			}
			err := s.victim.Receive(t.Context(), s.now, rawRecord(t, p, recordAlert, 40, []byte{x.level, byte(x.alert)}))
			if (err != nil) != x.ends {
				t.Errorf("client %v, %+v: %v", client, x, err)
			}
		}
	}
}
