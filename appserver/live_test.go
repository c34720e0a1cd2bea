package appserver

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/internal/testlog"
)

func TestLiveConnectionsEndWithTheirCredentialOrSIM(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *platformtest.Platform, sim platformtest.SIM)
		want   error
	}{
		{"revoked", func(p *platformtest.Platform, sim platformtest.SIM) { p.SetCredential(sim.Credential, api.Revoked) }, ErrRevoked},
		{"expired", func(p *platformtest.Platform, sim platformtest.SIM) { p.SetCredential(sim.Credential, api.Expired) }, ErrExpired},
		{"suspended", func(p *platformtest.Platform, sim platformtest.SIM) { p.SetSIM(sim.ICCID, api.Suspended) }, ErrSuspended},
		{"terminated", func(p *platformtest.Platform, sim platformtest.SIM) { p.SetSIM(sim.ICCID, api.Terminated) }, ErrTerminated},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				p := platformtest.New(t)
				sim, other := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
				m := open(t, p, Options{})
				server := serverConfig(t, m, p)
				conn, device, err := connect(t, m, server, clientConfig(p, sim.Certificate, version))
				if err != nil {
					t.Fatal(err)
				}
				stays, _, err := connect(t, m, server, clientConfig(p, other.Certificate, version))
				if err != nil {
					t.Fatal(err)
				}
				c.change(p, sim)
				ended(t, conn, device, c.want)
				if stays.Cause() != nil {
					t.Errorf("another SIM was cut off: %v", stays.Cause())
				}
			})
		})
	}
}

func TestAResumedSIMIsLetInAgain(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{})
	for _, state := range []api.SIMState{api.Suspended, api.Provisioned} {
		p.SetSIM(sim.ICCID, state)
	}
	inStep(t, m, p)
	if _, _, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13)); err != nil {
		t.Error(err)
	}
}

func TestASupersededCredentialKeepsItsConnectionsUntilItIsRevoked(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{})
	conn, device, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	p.Provision(t, sim.ICCID)
	p.SetCredential(sim.Credential, api.Superseded)
	inStep(t, m, p)
	if conn.Cause() != nil {
		t.Errorf("was cut off: %v", conn.Cause())
	}
	p.SetCredential(sim.Credential, api.Revoked)
	ended(t, conn, device, ErrRevoked)
}

func TestALiveConnectionEndsWhenItsTimeComes(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	now := make(chan time.Time, 1)
	now <- time.Now()
	clock := func() time.Time { n := <-now; now <- n; return n }
	p.Clock(clock)
	m := open(t, p, Options{Clock: clock})
	conn, device, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	m.live.cutAll(m.cutReason) // what the ticker does
	if conn.Cause() != nil {
		t.Fatalf("was cut off early: %v", conn.Cause())
	}
	<-now
	now <- sim.Certificate.Leaf.NotAfter
	m.live.cutAll(m.cutReason)
	ended(t, conn, device, ErrExpired)
}

// The check in the handshake and the listing of the connection are two moments. What is
// revoked between them must not slip through.
func TestARevocationBetweenHandshakeAndListingIsSeen(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		p := platformtest.New(t)
		sim := p.Provision(t, platformtest.ICCID(1))
		m := open(t, p, Options{})
		server := m.TLSConfig(&tls.Config{
			Certificates: []tls.Certificate{p.CA.Server(t, "server.example")},
			VerifyConnection: func(tls.ConnectionState) error { // called after the middleware's own
				p.SetCredential(sim.Credential, api.Revoked)
				inStep(t, m, p)
				return nil
			},
		})
		there, here := pair(t)
		go func() {
			device := tls.Client(here, clientConfig(p, sim.Certificate, version))
			device.Handshake()
			io.Copy(io.Discard, device)
		}()
		if _, err := m.Admit(t.Context(), tls.Server(there, server)); !errors.Is(err, ErrRevoked) {
			t.Errorf("got %v, want ErrRevoked", err)
		}
		if len(m.live.conns) != 0 {
			t.Error("a connection is still listed")
		}
	})
}

func TestOneOfAThousandIsCutOff(t *testing.T) {
	const count = 1000
	p := platformtest.New(t)
	m := open(t, p, Options{})
	server := serverConfig(t, m, p)
	sims := make([]platformtest.SIM, count)
	for i := range sims {
		sims[i] = p.Provision(t, platformtest.ICCID(i))
	}
	inStep(t, m, p)
	conns, devices := make([]*Conn, count), make([]*tls.Conn, count)
	for i := range sims {
		var err error
		if conns[i], devices[i], err = connect(t, m, server, clientConfig(p, sims[i].Certificate, tls.VersionTLS13)); err != nil {
			t.Fatal(err)
		}
	}
	p.SetCredential(sims[500].Credential, api.Revoked)
	ended(t, conns[500], devices[500], ErrRevoked)
	for i, conn := range conns {
		if i != 500 && conn.Cause() != nil {
			t.Errorf("connection %d was cut off: %v", i, conn.Cause())
		}
	}
	for _, conn := range conns {
		conn.NetConn().Close()
		conn.Close()
	}
	if left := len(m.live.conns); left != 0 {
		t.Errorf("%d connections are still listed after they were closed", left)
	}
}

// listen opens a listener that ends with the test.
func listen(t testing.TB, m *Middleware, config *tls.Config) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := m.Listener(inner, config)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestTheListenerHandsOutIdentifiedConnectionsPastASilentOne(t *testing.T) {
	p := platformtest.New(t)
	sim, stray := p.Provision(t, platformtest.ICCID(1)), p.CA.Device(t, platformtest.ICCID(2))
	m := open(t, p, Options{HandshakeTimeout: 2 * time.Second})
	ln := listen(t, m, serverConfig(t, m, p))

	silent, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if refused, err := tls.Dial("tcp", ln.Addr().String(), clientConfig(p, stray, tls.VersionTLS12)); err == nil {
		refused.Close()
		t.Error("an unknown device was let in")
	}
	device, err := tls.Dial("tcp", ln.Addr().String(), clientConfig(p, sim.Certificate, tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := IdentityOf(conn); !ok || id.ICCID != sim.ICCID {
		t.Errorf("identity: got %+v, %v", id, ok)
	}
	p.SetCredential(sim.Credential, api.Revoked)
	ended(t, conn.(*Conn), device, ErrRevoked)

	silent.SetReadDeadline(time.Now().Add(patience))
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, net.ErrClosed) {
		t.Errorf("the silent peer was not closed: %v", err)
	}
	ln.Close()
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: got %v", err)
	}
}

func TestARequestKnowsItsSIM(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{})
	ln := listen(t, m, serverConfig(t, m, p))
	server := &http.Server{
		ConnContext: ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := FromContext(r.Context())
			io.WriteString(w, id.ICCID)
		}),
	}
	go server.Serve(ln)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: clientConfig(p, sim.Certificate, tls.VersionTLS13)}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); string(body) != sim.ICCID {
		t.Errorf("got %q", body)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{})
	conn, device, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	ended(t, conn, device, ErrClosed)
	if _, err := m.Lookup(sim.Fingerprint); err != ErrClosed {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestHandshakesThatDoNotGetOnGiveWay(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	log := testlog.New(t)
	m := open(t, p, Options{Handshakes: 2, HandshakeTimeout: 12 * time.Second, Logger: log.Logger()})
	ln := listen(t, m, serverConfig(t, m, p))
	var silent []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	config := clientConfig(p, sim.Certificate, tls.VersionTLS13)
	device, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", ln.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	if conn, err := ln.Accept(); err != nil {
		t.Error(err)
	} else if id, _ := IdentityOf(conn); id.ICCID != sim.ICCID {
		t.Errorf("identity %+v", id)
	}
	silent[0].SetReadDeadline(time.Now().Add(patience))
	var late net.Error
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("the oldest silent one was not closed: %v", err)
	}
	log.Await(t, "handshake failed", errCrowded.Error()) // and not that its time was over
}
