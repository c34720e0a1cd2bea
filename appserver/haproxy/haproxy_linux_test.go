package haproxy_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/haproxy"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/testlog"
)

// rig is a platform, a middleware with a keeper, HAProxy, and an application behind it.
type rig struct {
	*platformtest.Platform
	t       *testing.T
	dir     string
	listen  string
	process *realparts.Process
	log     *testlog.Log
	config  string
}

// option changes what a rig is made of.
type option struct {
	tcp     string // address of a TCP application
	o       []func(*appserver.Options)
	waiting bool // HAProxy is not started
}

func newRig(t *testing.T, with option) *rig {
	t.Helper()
	p := platformtest.New(t)
	r := &rig{Platform: p, t: t, dir: t.TempDir(), listen: realparts.FreeAddress(t), log: testlog.New(t)}
	m := servertest.Open(t, p, with.o...)
	keeper, err := haproxy.New(haproxy.Options{
		Middleware: m.Middleware, Platform: p.Client, Dir: r.dir, Master: r.in("master.sock"), Logger: r.log.Logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.CA.Write(t, r.dir, "root.crt", "server.pem", "server.pem.key"); err != nil {
		t.Fatal(err)
	}
	backend := with.tcp
	if backend == "" {
		backend = servertest.Application(t)
	}
	r.config, err = haproxy.Config(haproxy.ConfigOptions{Dir: r.dir, Listen: r.listen, Certificate: r.in("server.pem"), Backend: backend, TCP: with.tcp != ""})
	if err != nil {
		t.Fatal(err)
	}
	r.configure(r.config)
	if !with.waiting {
		r.start()
	}
	servertest.Run(t, keeper.Run)
	return r
}

func (r *rig) in(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) configure(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.in("haproxy.cfg"), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start() {
	r.t.Helper()
	r.process = realparts.Start(r.t, "haproxy", "-W", "-S", r.in("master.sock"), "-f", r.in("haproxy.cfg"))
	realparts.WaitListening(r.t, r.listen)
}

// device is an HTTP client with the certificate of a SIM.
func (r *rig) device(sim platformtest.SIM) *http.Client {
	return servertest.HTTPClient(r.t, r.tls(sim))
}

func (r *rig) tls(sim platformtest.SIM) *tls.Config {
	return servertest.TLS(r.Platform, sim.Certificate)
}

func (r *rig) get(c *http.Client, path string) (string, error) {
	q, err := http.NewRequest("GET", "https://"+r.listen+path, nil)
	if err != nil {
		return "", err
	}
	q.Header.Set("Simroot-ICCID", "forged")
	q.Header.Set("simroot_iccid", "forged")
	q.Header.Set("Simroot-Admin", "forged")
	answer, err := c.Do(q)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	return string(text), err
}

// comesIn waits until a SIM is let in.
func (r *rig) comesIn(sim platformtest.SIM) {
	r.t.Helper()
	realparts.WaitFor(r.t, sim.ICCID+" to come in", func() bool {
		_, err := r.get(r.device(sim), "/")
		return err == nil
	})
}

// refused waits until a SIM is refused.
func (r *rig) refused(sim platformtest.SIM) {
	r.t.Helper()
	realparts.WaitFor(r.t, sim.ICCID+" to be refused", func() bool {
		_, err := r.get(r.device(sim), "/")
		return err != nil
	})
}

// stream opens a request that does not end by itself.
func (r *rig) stream(sim platformtest.SIM) io.ReadCloser {
	r.t.Helper()
	answer, err := r.device(sim).Get("https://" + r.listen + "/stream")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	r.ticks(answer.Body)
	return answer.Body
}

// ticks wants a stream to go on.
func (r *rig) ticks(body io.Reader) {
	r.t.Helper()
	if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
		r.t.Errorf("the stream does not go on: %v", err)
	}
}

// ends wants a stream to end: reading it fails or stops.
func (r *rig) ends(body io.Reader) {
	r.t.Helper()
	begin := time.Now()
	io.Copy(io.Discard, body) //nolint:errcheck // either way it has ended
	r.t.Logf("the connection ended after %s", time.Since(begin))
}

func TestTheApplicationLearnsWhichSIMSpeaksAndNothingForged(t *testing.T) {
	r := newRig(t, option{})
	sim := r.Provision(t, platformtest.ICCID(1))
	r.comesIn(sim)
	got, err := r.get(r.device(sim), "/")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "simroot-iccid="+sim.ICCID+"\n") || strings.Contains(got, "forged") {
		t.Errorf("the application is told:\n%s", got)
	}
}

func TestARevokedSIMIsRefusedAndItsConnectionsEndWhileOthersGoOn(t *testing.T) {
	r := newRig(t, option{})
	sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	r.comesIn(sim)
	r.comesIn(other)
	idle := r.device(sim)
	if _, err := r.get(idle, "/"); err != nil {
		t.Fatal(err)
	}
	mine, others := r.stream(sim), r.stream(other)
	r.SetCredential(sim.Credential, api.Revoked)
	r.ends(mine)
	if _, err := r.get(r.device(sim), "/"); err == nil {
		t.Error("the revoked SIM is let in again")
	}
	if _, err := r.get(idle, "/"); err == nil {
		t.Error("the revoked SIM speaks on over an idle connection")
	}
	r.ticks(others)
	if _, err := r.get(r.device(other), "/"); err != nil {
		t.Error(err)
	}
}

func TestSuspendedSupersededAndUnknownCertificatesAreRefused(t *testing.T) {
	r := newRig(t, option{})
	sim := r.Provision(t, platformtest.ICCID(1))
	r.comesIn(sim)
	r.SetSIM(sim.ICCID, api.Suspended)
	r.refused(sim)
	r.SetSIM(sim.ICCID, api.Provisioned)
	r.comesIn(sim)
	live := r.stream(sim)
	r.SetCredential(sim.Credential, api.Superseded)
	renewed := r.Provision(t, sim.ICCID)
	r.refused(sim)
	r.comesIn(renewed)
	r.ticks(live) // a superseded certificate opens no connection and closes none
	unknown := r.CA.Device(t, platformtest.ICCID(7))
	if _, err := r.get(r.device(platformtest.SIM{Certificate: unknown}), "/"); err == nil {
		t.Error("a certificate that the feed has not named is let in")
	}
}

func TestAResumedSessionIsNoWayIn(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newRig(t, option{})
			sim := r.Provision(t, platformtest.ICCID(1))
			r.comesIn(sim)
			config := r.tls(sim)
			config.MinVersion, config.MaxVersion, config.ClientSessionCache = version, version, tls.NewLRUClientSessionCache(4)
			get := func() error {
				transport := &http.Transport{TLSClientConfig: config}
				defer transport.CloseIdleConnections()
				_, err := r.get(&http.Client{Transport: transport}, "/")
				return err
			}
			for range 3 {
				if err := get(); err != nil {
					t.Fatal(err)
				}
			}
			r.SetSIM(sim.ICCID, api.Suspended)
			r.refused(sim)
			for range 3 {
				if get() == nil {
					t.Fatal("the suspended SIM came in by a resumed session")
				}
			}
		})
	}
}

// tcpApplication tells what comes in its connections.
func tcpApplication(t *testing.T) (address string, heard <-chan []byte) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	first := make(chan []byte, 16)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				head := make([]byte, 16)
				if _, err := io.ReadFull(conn, head); err != nil {
					return
				}
				rest := make([]byte, int(head[14])<<8|int(head[15]))
				if _, err := io.ReadFull(conn, rest); err != nil {
					return
				}
				select {
				case first <- append(head, rest...):
				default:
				}
				io.Copy(conn, conn) //nolint:errcheck // the device has gone
			}()
		}
	}()
	return ln.Addr().String(), first
}

func TestATCPConnectionOfARevokedSIMIsEndedAlsoInAWorkerThatOnlyFinishes(t *testing.T) {
	address, heard := tcpApplication(t)
	r := newRig(t, option{tcp: address})
	sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	dial := func(sim platformtest.SIM) (conn *tls.Conn) {
		realparts.WaitFor(t, sim.ICCID+" to come in", func() bool {
			var err error
			if conn, err = tls.Dial("tcp", r.listen, r.tls(sim)); err != nil {
				return false
			}
			io.WriteString(conn, "x") //nolint:errcheck // the echo tells
			_, err = conn.Read(make([]byte, 1))
			return err == nil
		})
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	one, two := dial(sim), dial(other)
	if head := <-heard; !bytes.Contains(head, []byte(sim.ICCID)) {
		t.Errorf("the PROXY header does not name the SIM: %q", head)
	}
	r.process.Signal(syscall.SIGUSR2) // the operator reloads
	realparts.WaitFor(t, "a new worker", func() bool { return strings.Count(r.process.Output(), "Loading success") >= 2 })
	three := dial(sim)
	r.SetCredential(sim.Credential, api.Revoked)
	for _, conn := range []*tls.Conn{one, three} {
		conn.SetReadDeadline(time.Now().Add(realparts.Patience))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection goes on: %v", err)
		}
	}
	io.WriteString(two, "y") //nolint:errcheck // the echo tells
	if _, err := two.Read(make([]byte, 1)); err != nil {
		t.Errorf("the other SIM's connection ended: %v", err)
	}
}

func TestACRLThatIsTooLongForACommandIsReloadedWithoutEndingConnections(t *testing.T) {
	r := newRig(t, option{})
	other := r.Provision(t, platformtest.ICCID(1))
	r.comesIn(other)
	live := r.stream(other)
	r.configure(r.config + "\nwrong\n")
	var last platformtest.SIM
	for n := range 600 {
		last = r.Provision(t, platformtest.ICCID(10+n))
		r.SetCredential(last.Credential, api.Revoked)
	}
	r.log.Await(t, "HAProxy refuses its configuration")
	if text, err := os.ReadFile(r.in("crl.pem")); err != nil || len(text) < 12<<10 {
		t.Errorf("the CRL is not on disk: %d bytes, %v", len(text), err)
	}
	r.refused(last)
	r.configure(r.config)
	r.log.Await(t, "in step again")
	r.ticks(live)
	r.comesIn(other)
}

func TestHAProxyMayComeLaterAndStartAgain(t *testing.T) {
	r := newRig(t, option{waiting: true})
	r.log.Await(t, "is HAProxy running")
	sim, gone := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	r.start()
	r.comesIn(sim)
	r.comesIn(gone)
	r.process.Stop()
	r.SetCredential(gone.Credential, api.Revoked)
	later := r.Provision(t, platformtest.ICCID(3))
	r.start()
	r.comesIn(later)
	r.comesIn(sim)
	r.refused(gone)
}

func TestBeyondTheLimitsOfStalenessNobodyComesInAndThenNobodyStays(t *testing.T) {
	var ahead atomic.Int64
	address, _ := tcpApplication(t)
	r := newRig(t, option{tcp: address, o: []func(*appserver.Options){func(o *appserver.Options) {
		o.MaxStale, o.CutStale = time.Hour, 2*time.Hour
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}}})
	sim := r.Provision(t, platformtest.ICCID(1))
	comes := func() (conn *tls.Conn, err error) {
		if conn, err = tls.Dial("tcp", r.listen, r.tls(sim)); err == nil {
			io.WriteString(conn, "x") //nolint:errcheck // the echo tells
			_, err = conn.Read(make([]byte, 1))
		}
		return conn, err
	}
	var live *tls.Conn
	realparts.WaitFor(t, "the SIM to come in", func() (ok bool) {
		var err error
		live, err = comes()
		return err == nil
	})
	defer live.Close()
	r.Offline(true)
	ahead.Store(int64(90 * time.Minute))
	realparts.WaitFor(t, "nobody to be let in", func() bool { _, err := comes(); return err != nil })
	io.WriteString(live, "y") //nolint:errcheck // the echo tells
	if _, err := live.Read(make([]byte, 1)); err != nil {
		t.Errorf("the live connection ended too early: %v", err)
	}
	ahead.Store(int64(3 * time.Hour))
	live.SetReadDeadline(time.Now().Add(realparts.Patience))
	if _, err := live.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection outlives the limit: %v", err)
	}
	ahead.Store(0)
	r.Offline(false)
	realparts.WaitFor(t, "the SIM to come in again", func() bool { _, err := comes(); return err == nil })
}

func TestThroughARolloverOfTheCANobodyGoodIsRefusedAndTheRevokedOfBothCAsAre(t *testing.T) {
	r := newRig(t, option{})
	enter := func(sim platformtest.SIM) error {
		c := r.device(sim)
		defer c.CloseIdleConnections()
		_, err := r.get(c, "/")
		return err
	}
	servertest.Rollover(t, r.Platform, servertest.Beside{
		Enter: enter, Refused: func(sim platformtest.SIM) bool { return enter(sim) != nil }, CRLs: r.in("crl.pem"),
	})
}

func TestConfigRefusesWhatHAProxyWouldMisread(t *testing.T) {
	good := haproxy.ConfigOptions{Dir: "/d", Listen: "127.0.0.1:1", Certificate: "/c", Backend: "127.0.0.1:2"}
	if _, err := haproxy.Config(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*haproxy.ConfigOptions){
		"relative path": func(o *haproxy.ConfigOptions) { o.Dir = "d" },
		"second line":   func(o *haproxy.ConfigOptions) { o.Certificate = "/c\nmode tcp" },
		"no port":       func(o *haproxy.ConfigOptions) { o.Listen = "localhost" },
		"two words":     func(o *haproxy.ConfigOptions) { o.Backend = "a:1 check" },
	} {
		o := good
		spoil(&o)
		if _, err := haproxy.Config(o); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}
