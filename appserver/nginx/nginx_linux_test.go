package nginx_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/authz"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/appserver/nginx"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/testlog"
)

// rig is a platform, a middleware with a keeper and the endpoint that nginx asks, nginx, and an
// application behind it.
type rig struct {
	*platformtest.Platform
	t       *testing.T
	dir     string
	listen  string
	block   string // of nginx's configuration
	process *realparts.Process
	log     *testlog.Log
	authz   *authz.Handler
}

func newRig(t *testing.T) *rig {
	t.Helper()
	p := platformtest.New(t)
	r := &rig{Platform: p, t: t, dir: t.TempDir(), listen: realparts.FreeAddress(t), log: testlog.New(t)}
	quiet := slog.New(slog.DiscardHandler)
	m := servertest.Open(t, p).Middleware
	keeper, err := nginx.New(nginx.Options{
		Middleware: m, Platform: p.Client, Dir: r.dir, Reload: []string{"nginx", "-c", r.in("nginx.conf"), "-s", "reload"},
		Logger: r.log.Logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.CA.Write(t, r.dir, "root.crt", "server.crt", "server.key"); err != nil {
		t.Fatal(err)
	}
	if r.authz, err = authz.New(authz.Options{Middleware: m, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	socket := "unix:" + r.in("authz.sock")
	ln, err := authz.Listen(authz.ListenOptions{Address: socket})
	if err != nil {
		t.Fatal(err)
	}
	servertest.Run(t, func(ctx context.Context) error { return r.authz.Serve(ctx, ln) })
	r.block, err = nginx.Config(nginx.ConfigOptions{
		Dir: r.dir, Listen: r.listen, Certificate: r.in("server.crt"), Key: r.in("server.key"), Authz: socket,
		Backend: servertest.Application(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.configure("")
	r.process = realparts.Start(t, "nginx", "-c", r.in("nginx.conf"))
	realparts.WaitListening(t, r.listen)
	servertest.Run(t, keeper.Run)
	return r
}

func (r *rig) in(name string) string { return filepath.Join(r.dir, name) }

// configure writes nginx.conf, with more in its http block.
func (r *rig) configure(more string) {
	r.t.Helper()
	text := fmt.Sprintf(`daemon off;
user root;
pid %[1]s/nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    proxy_buffering off;
%[2]s
%[3]s
}
`, r.dir, r.block, more)
	if err := os.WriteFile(r.in("nginx.conf"), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// device is an HTTP client with the certificate of a SIM.
func (r *rig) device(certificate tls.Certificate) *http.Client {
	return servertest.HTTPClient(r.t, servertest.TLS(r.Platform, certificate))
}

// get returns the status, 0 without an answer, and the text.
func (r *rig) get(c *http.Client) (status int, text string) {
	q, err := http.NewRequest("GET", "https://"+r.listen+"/", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Simroot-ICCID", "forged")
	q.Header.Set("X-SSL-Client-Serial", "forged")
	answer, err := c.Do(q)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// becomes waits until a fresh connection of a SIM is answered so.
func (r *rig) becomes(sim platformtest.SIM, want int) {
	r.t.Helper()
	realparts.WaitFor(r.t, fmt.Sprintf("%s to get %d", sim.ICCID, want), func() bool {
		status, _ := r.get(r.device(sim.Certificate))
		return status == want
	})
}

func (r *rig) reloads() int { return strings.Count(r.process.Output(), "reconfiguring") }

func TestTheApplicationLearnsWhichSIMSpeaksAndNothingForged(t *testing.T) {
	r := newRig(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	r.becomes(sim, http.StatusOK)
	_, got := r.get(r.device(sim.Certificate))
	for _, want := range []string{"simroot-iccid=" + sim.ICCID + "\n", "simroot-fleet=meters\n", "simroot-credential=" + sim.Credential + "\n", "CN=" + sim.ICCID} {
		if !strings.Contains(got, want) {
			t.Errorf("the application is not told %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "forged") {
		t.Errorf("the application is told:\n%s", got)
	}
}

func TestARevokedSIMIsRefusedOnTheConnectionItHasAndOthersGoOn(t *testing.T) {
	r := newRig(t)
	sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	r.becomes(sim, http.StatusOK)
	r.becomes(other, http.StatusOK)
	open := r.device(sim.Certificate)
	if status, text := r.get(open); status != http.StatusOK {
		t.Fatal(status, text)
	}
	answer, err := r.device(other.Certificate).Get("https://" + r.listen + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	before := r.reloads()
	r.SetCredential(sim.Credential, api.Revoked)
	begin := time.Now()
	realparts.WaitFor(t, "the revoked SIM to be refused", func() bool { status, _ := r.get(open); return status != http.StatusOK })
	t.Logf("it was refused after %s", time.Since(begin))
	realparts.WaitFor(t, "nginx to read the CRL", func() bool { return r.reloads() > before })
	realparts.WaitFor(t, "the handshake to be refused too", func() bool {
		status, text := r.get(r.device(sim.Certificate))
		return status == http.StatusBadRequest && strings.Contains(text, "certificate error")
	})
	if _, err := io.ReadFull(answer.Body, make([]byte, 4096)); err != nil {
		t.Errorf("the other's request was cut by the reload: %v", err)
	}
	r.becomes(other, http.StatusOK)
}

func TestSuspendedSupersededAndUnknownCertificatesAreRefused(t *testing.T) {
	r := newRig(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	r.becomes(sim, http.StatusOK)
	r.SetSIM(sim.ICCID, api.Suspended)
	r.becomes(sim, http.StatusForbidden)
	r.SetSIM(sim.ICCID, api.Provisioned)
	r.becomes(sim, http.StatusOK)
	r.SetCredential(sim.Credential, api.Superseded)
	r.becomes(sim, http.StatusForbidden)
	if status, _ := r.get(r.device(r.CA.Device(t, platformtest.ICCID(7)))); status != http.StatusForbidden {
		t.Errorf("a certificate that the feed has not named gets %d", status)
	}
	if status, _ := r.get(r.device(platformtest.NewCA(t).Device(t, sim.ICCID))); status == http.StatusOK {
		t.Error("a certificate of another CA is let in")
	}
}

func TestWithoutAnAnswerNobodyComesIn(t *testing.T) {
	r := newRig(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	r.becomes(sim, http.StatusOK)
	if err := os.Remove(r.in("authz.sock")); err != nil {
		t.Fatal(err)
	}
	r.block = strings.Replace(r.block, "    keepalive 16;\n", "", 1) // no connection from before
	r.configure("")
	realparts.Run(t, "nginx", "-c", r.in("nginx.conf"), "-s", "reload")
	r.becomes(sim, http.StatusInternalServerError)
}

func TestABrokenConfigurationIsToldAndCostsNoCRL(t *testing.T) {
	r := newRig(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	r.becomes(sim, http.StatusOK)
	old, err := os.ReadFile(r.in("crl.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r.configure("wrong")
	r.SetCredential(sim.Credential, api.Revoked)
	realparts.WaitFor(t, "the keeper to say what is wrong", func() bool { return r.log.Says("unknown directive") || r.log.Says("unexpected") })
	// What it said may be of an earlier change; of the revocation it says the same, and the CRL goes first.
	realparts.WaitFor(t, "the new CRL to be on disk", func() bool {
		now, err := os.ReadFile(r.in("crl.pem"))
		return err == nil && !bytes.Equal(now, old)
	})
	if status, _ := r.get(r.device(sim.Certificate)); status == http.StatusOK {
		t.Error("the revoked SIM is let in meanwhile")
	}
	r.configure("")
	r.log.Await(t, "in step again")
}

func TestConfigRefusesWhatNginxWouldMisread(t *testing.T) {
	good := nginx.ConfigOptions{Dir: "/d", Listen: "127.0.0.1:1", Certificate: "/c", Key: "/k", Authz: "unix:/s", Backend: "127.0.0.1:2"}
	if _, err := nginx.Config(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*nginx.ConfigOptions){
		"relative path": func(o *nginx.ConfigOptions) { o.Dir = "d" },
		"next line":     func(o *nginx.ConfigOptions) { o.Certificate = "/c\n" },
		"directive":     func(o *nginx.ConfigOptions) { o.Key = "/k;" },
		"no port":       func(o *nginx.ConfigOptions) { o.Listen = "localhost" },
		"block":         func(o *nginx.ConfigOptions) { o.Backend = "a:1}" },
		"variable":      func(o *nginx.ConfigOptions) { o.Authz = "$host:1" },
	} {
		o := good
		spoil(&o)
		if _, err := nginx.Config(o); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestThroughARolloverOfTheCANobodyGoodIsRefusedAndTheRevokedOfBothCAsAre(t *testing.T) {
	r := newRig(t)
	visit := func(sim platformtest.SIM) (status int, text string) {
		c := r.device(sim.Certificate)
		defer c.CloseIdleConnections()
		return r.get(c)
	}
	servertest.Rollover(t, r.Platform, servertest.Beside{
		Enter: func(sim platformtest.SIM) error {
			if status, text := visit(sim); status != http.StatusOK {
				return fmt.Errorf("status %d: %s", status, text)
			}
			return nil
		},
		Refused: func(sim platformtest.SIM) bool {
			status, _ := visit(sim)
			return status == http.StatusBadRequest // nginx's answer to a certificate that it does not accept
		},
		CRLs: r.in("crl.pem"),
	})
}
