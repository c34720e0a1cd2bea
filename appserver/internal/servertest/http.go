package servertest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// Application starts an HTTP application and returns its address. It answers with the header fields
// that tell who speaks, a line each, name=value with the name in lower case; on /stream for ever.
func Application(t testing.TB) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(tellWho))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func tellWho(w http.ResponseWriter, r *http.Request) {
	for name, values := range r.Header {
		// CGI, and what copies it, takes an underscore for a hyphen.
		if name = strings.ToLower(name); strings.HasPrefix(strings.ReplaceAll(name, "_", "-"), "simroot-") {
			fmt.Fprintf(w, "%s=%s\n", name, strings.Join(values, ","))
		}
	}
	for r.URL.Path == "/stream" {
		if _, err := io.WriteString(w, "tick\n"); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TLS is the configuration of a device with the certificate of a SIM.
func TLS(p *platformtest.Platform, certificate tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: p.CA.Roots, Certificates: []tls.Certificate{certificate}}
}

// HTTPClient is a device's.
func HTTPClient(t testing.TB, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: Patience}
}
