//go:build unix

package appserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/internal/victim"
)

func TestMain(m *testing.M) { victim.Main(m, serveAsChild) }

// serveAsChild serves until it is killed. It prints its address when it is ready.
func serveAsChild(dir string, args ...string) error {
	roots, err := os.ReadFile(filepath.Join(dir, "root.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	client, err := api.NewClient(args[0], api.ClientOptions{Token: "token", RootCAs: pool})
	if err != nil {
		return err
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		return err
	}
	m, err := Open(context.Background(), Options{Platform: client, Dir: filepath.Join(dir, "replica"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := m.Ready(context.Background()); err != nil {
		return err
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l := m.Listener(inner, m.TLSConfig(&tls.Config{Certificates: []tls.Certificate{own}}))
	fmt.Println(inner.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			conn.Write([]byte{1})
			conn.Read(make([]byte, 1))
		}()
	}
}

// child starts an application server in a process of its own.
func child(t *testing.T, p *platformtest.Platform, dir string) (process *victim.Victim, address string) {
	t.Helper()
	process = victim.Start(t, dir, p.URL())
	address, ok := process.Line()
	if !ok {
		t.Fatal("the application server does not start")
	}
	return process, address
}

func TestAMiddlewareKilledWithAThousandConnectionsOpenComesBackWithAllItKnew(t *testing.T) {
	const connections, sims = 1000, 20
	p := platformtest.New(t)
	dir := t.TempDir()
	if err := p.CA.Write(t, dir, "root.pem", "server.pem", "server.key"); err != nil {
		t.Fatal(err)
	}
	all := make([]platformtest.SIM, sims)
	clients := make([]*tls.Config, sims)
	for i := range all {
		all[i] = p.Provision(t, platformtest.ICCID(i))
		clients[i] = clientConfig(p, all[i].Certificate, tls.VersionTLS13)
		clients[i].ServerName = "127.0.0.1"
	}
	process, address := child(t, p, dir)

	open := make([]*tls.Conn, connections)
	var dialing sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range open {
		slots <- struct{}{}
		dialing.Go(func() {
			defer func() { <-slots }()
			conn, err := tls.Dial("tcp", address, clients[i%sims])
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
				return
			}
			open[i] = conn
		})
	}
	dialing.Wait()
	if t.Failed() {
		return
	}

	// It is killed in the middle of a stream of changes, of which the first has taken effect.
	p.SetCredential(all[0].Credential, api.Revoked)
	if _, err := open[0].Read(make([]byte, 1)); err == nil {
		t.Error("the revoked SIM is still connected")
	}
	for range 2000 {
		p.SetSIM(all[1].ICCID, api.Provisioned)
	}
	process.Kill()
	for i, conn := range open {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d outlives the server", i)
		}
		conn.Close()
	}

	// What is on disk is sound, and has the revocation: it stands without the platform.
	p.Offline(true)
	m := openUnready(t, p, Options{Dir: filepath.Join(dir, "replica")})
	if _, err := m.Lookup(all[0].Fingerprint); !errors.Is(err, ErrRevoked) {
		t.Errorf("without the platform: got %v, want ErrRevoked", err)
	}
	for _, sim := range all[1:] {
		if _, err := m.Lookup(sim.Fingerprint); err != nil {
			t.Errorf("SIM %s without the platform: %v", sim.ICCID, err)
		}
	}
	m.Close()
	p.Offline(false)
	_, address = child(t, p, dir)
	for i, client := range clients {
		conn, err := tls.Dial("tcp", address, client)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if (err == nil) != (i != 0) {
			t.Errorf("SIM %d after the restart: %v", i, err)
		}
	}
}
