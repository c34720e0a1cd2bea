package interop

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	coap "github.com/plgd-dev/go-coap/v3/dtls"
	coapserver "github.com/plgd-dev/go-coap/v3/dtls/server"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/mux"
	"github.com/plgd-dev/go-coap/v3/options"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/appserver/piondtls"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

var loopback = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}

// serveCoAP has go-coap answer on a listener, with the SIM that asks.
func serveCoAP(t *testing.T, ln *appserver.Listener) {
	t.Helper()
	router := mux.NewRouter()
	err := router.Handle("/whoami", mux.HandlerFunc(func(w mux.ResponseWriter, _ *mux.Message) {
		id, ok := appserver.IdentityOf(w.Conn().NetConn())
		text := fmt.Sprintf("SIM %s of %s, %v", id.ICCID, id.Fleet, ok)
		w.SetResponse(codes.Content, message.TextPlain, strings.NewReader(text)) //nolint:errcheck // the client will tell
	}))
	if err != nil {
		t.Fatal(err)
	}
	server := coapserver.New(options.WithMux(router))
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Stop()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(servertest.Patience):
			t.Error("the server does not end")
		}
	})
}

// coapKey is a key that can be typed.
const coapKey = "a key of 32 letters and numerals"

func TestALibcoapClientIsServedByGoCoAPAndKnown(t *testing.T) {
	for over, listen := range map[string]func(*testing.T, *servertest.Server) *appserver.Listener{
		"psktls": func(t *testing.T, m *servertest.Server) *appserver.Listener { return pskServer(t, m, true) },
		"pion": func(t *testing.T, m *servertest.Server) *appserver.Listener {
			ln, err := piondtls.ListenPSK(m.Middleware, "udp", loopback)
			if err != nil {
				t.Fatal(err)
			}
			return ln
		},
	} {
		for _, stack := range []string{"openssl", "gnutls"} {
			t.Run(over+"/"+stack, func(t *testing.T) {
				p := platformtest.New(t)
				m := servertest.Open(t, p)
				sealed, err := api.Seal(m.Public, "one", []byte(coapKey))
				if err != nil {
					t.Fatal(err)
				}
				p.PSK(platformtest.ICCID(1), "one", sealed, nil)
				m.InStep(t)
				ln := listen(t, m)
				serveCoAP(t, ln)
				ask := func(key string) *realparts.Process {
					return realparts.Start(t, "coap-client-"+stack, "-B", "3", "-u", "psk-one", "-k", key, fmt.Sprintf("coaps://%v/whoami", ln.Addr()))
				}
				client := ask(coapKey)
				if code := client.Wait(); code != 0 || !strings.Contains(client.Output(), "SIM "+platformtest.ICCID(1)+" of meters, true") {
					t.Errorf("exit code %d, %s", code, client.Output())
				}
				client = ask("another key, of 32 letters also.")
				if client.Wait(); strings.Contains(client.Output(), "SIM") {
					t.Error("a wrong key was answered")
				}
				p.SetCredential("one", api.Revoked)
				m.InStep(t)
				client = ask(coapKey)
				if client.Wait(); strings.Contains(client.Output(), "SIM") {
					t.Error("a revoked key was answered")
				}
			})
		}
	}
}

func TestAGoCoAPClientWithACertificateIsServedAndCutOff(t *testing.T) {
	p := platformtest.New(t)
	m := servertest.Open(t, p)
	sim := p.Provision(t, platformtest.ICCID(1))
	m.InStep(t)
	ln, err := piondtls.Listen(m.Middleware, "udp", loopback, dtls.WithCertificates(p.CA.Server(t, "server.example")))
	if err != nil {
		t.Fatal(err)
	}
	serveCoAP(t, ln)
	client, err := coap.Dial(ln.Addr().String(), coap.NewDTLSClientOptions(
		dtls.WithCertificates(sim.Certificate), dtls.WithRootCAs(p.CA.Roots), dtls.WithServerName("server.example")))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer, err := client.Get(t.Context(), "/whoami")
	if err != nil {
		t.Fatal(err)
	}
	body, err := answer.ReadBody()
	if err != nil || !bytes.Contains(body, []byte("SIM "+sim.ICCID)) {
		t.Errorf("%q, %v", body, err)
	}
	p.SetCredential(sim.Credential, api.Revoked)
	select {
	case <-client.Done():
	case <-time.After(servertest.Patience):
		t.Error("the connection outlives the credential")
	}
}
