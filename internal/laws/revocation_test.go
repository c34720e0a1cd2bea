package laws

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// greeter is an application server behind the middleware: it greets whom it lets in.
type greeter struct{ address string }

func (w *world) greeter(m *appserver.Middleware) *greeter {
	w.t.Helper()
	certificate, err := w.ServerCertificate(w.t.Context(), "127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	l := m.Listener(inner, m.TLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}))
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if id, known := appserver.IdentityOf(c); known {
					_, _ = c.Write([]byte(id.ICCID))
				}
				_, _ = c.Read(make([]byte, 1))
			}()
		}
	}()
	return &greeter{address: inner.Addr().String()}
}

// greet opens a connection and returns it with what the server calls the SIM.
func (g *greeter) greet(config *tls.Config) (*tls.Conn, string, error) {
	c, err := tls.Dial("tcp", g.address, config)
	if err != nil {
		return nil, "", err
	}
	name := make([]byte, 20)
	n, err := c.Read(name)
	if err != nil {
		c.Close()
		return nil, "", err
	}
	return c, string(name[:n]), nil
}

func (w *world) middleware(dir string) *appserver.Middleware {
	w.t.Helper()
	m, err := w.Middleware(w.t.Context(), dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { m.Close() })
	return m
}

// What was answered "revoked" is cut off (how soon, internal/bench measures), and never accepted again: not
// by the server that was there, not after a restart of the platform, not by a server that
// starts afterwards, and not by resuming an old TLS session.
func TestRevokedIsNeverAcceptedAgain(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			w := newWorld(t)
			w.fleet("meters", api.Profile{})
			sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
			done, err := w.onboard(sim)
			if err != nil {
				t.Fatal(err)
			}
			d, err := device.New(t.Context(), sim)
			if err != nil {
				t.Fatal(err)
			}
			config, err := d.TLSConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			config.MaxVersion = version
			config.ClientSessionCache = tls.NewLRUClientSessionCache(4)

			first := w.middleware(filepath.Join(t.TempDir(), "first"))
			if err := rig.Await(t.Context(), first, done.Credential); err != nil {
				t.Fatal(err)
			}
			server := w.greeter(first)
			live, name, err := server.greet(config)
			if err != nil || name != someICCID {
				t.Fatalf("before the revocation: server sees SIM %q, %v", name, err)
			}

			if _, err := w.Admin.RevokeSIM(t.Context(), someICCID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
				t.Fatal(err)
			}
			if err := live.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := live.Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Fatalf("the live connection is not closed: %v", err)
			}
			refuses := func(who string, g *greeter) {
				t.Helper()
				if c, _, err := g.greet(config); err == nil {
					c.Close()
					t.Fatalf("%s lets the revoked SIM in", who)
				}
			}
			refuses("the server", server)
			w.restart()
			refuses("the server, after a restart of the platform,", server)
			refuses("a server that started afterwards", w.greeter(w.middleware(filepath.Join(t.TempDir(), "second"))))
			if _, err := w.onboard(sim); !api.HasCode(err, api.CodeReenrolment) {
				t.Fatalf("want a refusal %s, got: %v", api.CodeReenrolment, err)
			}
		})
	}
}

func isTimeout(err error) bool {
	n, ok := err.(net.Error)
	return ok && n.Timeout()
}
