package appserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/psktls"
)

func TestHTTPRequestsComeWithTLSStateAndOverHTTP2(t *testing.T) {
	for version, protocol := range map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"} {
		t.Run(version, func(t *testing.T) {
			p := platformtest.New(t)
			sim := p.Provision(t, platformtest.ICCID(1))
			m := open(t, p, Options{})
			ln := listen(t, m, m.TLSConfig(&tls.Config{
				Certificates: []tls.Certificate{p.CA.Server(t, "server.example")}, NextProtos: []string{version},
			}))
			held := make(chan struct{})
			server := &http.Server{
				ConnContext: ConnContext,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/wait" {
						w.WriteHeader(http.StatusOK)
						w.(http.Flusher).Flush()
						close(held)
						<-r.Context().Done()
						return
					}
					id, _ := FromContext(r.Context())
					fmt.Fprint(w, r.Proto, " ", id.ICCID, " ", r.TLS.PeerCertificates[0].Subject.CommonName)
				}),
			}
			served := make(chan error, 1)
			go func() { served <- server.Serve(ln.TLS()) }()
			t.Cleanup(func() { server.Close(); <-served })
			config := clientConfig(p, sim.Certificate, tls.VersionTLS13)
			config.NextProtos = []string{version}
			transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: version == "h2"}
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport, Timeout: patience}
			url := "https://" + ln.Addr().String()
			answer, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if want := fmt.Sprint(protocol, " ", sim.ICCID, " ", sim.ICCID); string(body) != want {
				t.Errorf("got %q, %v, want %q", body, err, want)
			}

			// A request that is under way ends with the credential.
			if answer, err = client.Get(url + "/wait"); err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			<-held
			p.SetCredential(sim.Credential, api.Revoked)
			if _, err := io.ReadAll(answer.Body); err == nil {
				t.Error("the request outlived the credential")
			}
		})
	}
}

func TestAConnectionThatTheHTTPServerClosesIsNoLongerListed(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{})
	ln := listen(t, m, serverConfig(t, m, p))
	device, err := tls.Dial("tcp", ln.Addr().String(), clientConfig(p, sim.Certificate, tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	conn, err := ln.TLS().Accept()
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := IdentityOf(conn); !ok || id.ICCID != sim.ICCID || len(m.live.conns) != 1 {
		t.Errorf("identity %+v, %v, %d listed", id, ok, len(m.live.conns))
	}
	conn.Close()
	if len(m.live.conns) != 0 {
		t.Error("it is still listed")
	}
}

func TestHTTPOverAPSKKnowsItsSIM(t *testing.T) {
	for _, version := range []uint16{psktls.VersionTLS12, psktls.VersionTLS13} {
		over := overTLS(version)
		t.Run(over.name, func(t *testing.T) {
			p := platformtest.New(t)
			m, public := openPSK(t, p, Options{})
			k := p.ProvisionPSK(t, platformtest.ICCID(1), public)
			inStep(t, m, p)
			secretsReady(t, m)
			server := &http.Server{
				ConnContext: ConnContext,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					id, _ := FromContext(r.Context())
					fmt.Fprint(w, r.Proto, " ", id.ICCID)
				}),
			}
			ln := over.listen(t, m)
			served := make(chan error, 1)
			go func() { served <- server.Serve(ln) }()
			t.Cleanup(func() { server.Close(); <-served })
			transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				return over.dial(ctx, address, pskClient(k))
			}}
			t.Cleanup(transport.CloseIdleConnections)
			answer, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://" + ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if body, err := io.ReadAll(answer.Body); string(body) != "HTTP/1.1 "+platformtest.ICCID(1) {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
}

func TestAClosedListenerIsTheEndToThoseWhoAcceptWithAContext(t *testing.T) {
	p := platformtest.New(t)
	m := open(t, p, Options{})
	ln := listen(t, m, serverConfig(t, m, p))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ln.AcceptWithContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context: %v", err)
	}
	ln.Close()
	if _, err := ln.AcceptWithContext(t.Context()); !errors.Is(err, io.EOF) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the listener: %v", err)
	}
	if _, err := ln.TLS().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the listener: %v", err)
	}
}
