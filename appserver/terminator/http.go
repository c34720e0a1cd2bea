package terminator

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/simroot/simroot/appserver"
)

// The header fields in which a server of HTTP is told who speaks. Requests of SIMs that have a field of
// such a name lose it.
const (
	HeaderICCID      = "Simroot-Iccid"
	HeaderFleet      = "Simroot-Fleet"
	HeaderCredential = "Simroot-Credential"
)

// headerPrefix begins the names of all fields that the server behind may believe.
const headerPrefix = "simroot-"

// Bounds of what a device may ask for.
const (
	readHeaderTimeout = 10 * time.Second
	keepAlive         = 2 * time.Minute
	maxHeader         = 64 << 10
)

// serveHTTP forwards requests. TLS offers HTTP/2 and HTTP/1.1, pre-shared keys HTTP/1.1; the server behind
// is spoken to by HTTP/1.1.
func (p *port) serveHTTP(ctx context.Context) error {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, p.DialTimeout)
			defer cancel()
			return p.backend.dial(ctx, "tcp")
		},
		MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
	}
	defer transport.CloseIdleConnections()
	faults := log.New(debugWriter{p.log}, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite: p.rewrite, Transport: transport, FlushInterval: -1, ErrorLog: faults,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				p.log.Debug("a request failed", "error", err)
			}
			http.Error(w, "The server behind cannot be reached at the moment. Try again later.", http.StatusBadGateway)
		},
	}
	server := &http.Server{
		Handler:           onlyKnown(proxy),
		ConnContext:       appserver.ConnContext,
		ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: keepAlive, MaxHeaderBytes: maxHeader, ErrorLog: faults,
	}
	var ln net.Listener = p.ln
	if p.way.Kind == TLS {
		ln = p.ln.TLS()
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(welcoming{ln, p}) }()
	select {
	case err := <-served:
		server.Close()
		return err
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Drain)
	defer cancel()
	if err := server.Shutdown(draining); errors.Is(err, context.DeadlineExceeded) {
		p.log.Info("cutting the requests that have not ended by themselves")
		server.Close()
	}
	<-served
	return nil
}

// onlyKnown refuses what nobody is known for, which does not happen, and what is no request to
// the server behind.
func onlyKnown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, known := appserver.FromContext(r.Context()); !known {
			http.Error(w, "Nobody is known here without a SIM.", http.StatusForbidden)
			return
		}
		if r.Method == http.MethodConnect {
			http.Error(w, "This is no proxy.", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// rewrite makes the request to the server behind. Fields that the client's Connection names are gone when
// it is called, so that they cannot take ours with them.
func (p *port) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(&url.URL{Scheme: "http", Host: p.way.Backend})
	r.Out.Host = r.In.Host
	for name := range r.Out.Header {
		if claimsIdentity(name) {
			delete(r.Out.Header, name)
		}
	}
	r.Out.Trailer = nil // some servers take trailers for headers
	r.SetXForwarded()
	r.Out.Header.Set("X-Forwarded-Proto", "https") // over a pre-shared key too, of which net/http knows nothing
	id, _ := appserver.FromContext(r.In.Context())
	r.Out.Header.Set(HeaderICCID, id.ICCID)
	r.Out.Header.Set(HeaderFleet, id.Fleet)
	r.Out.Header.Set(HeaderCredential, id.Credential)
}

// claimsIdentity tells whether a server could take a field for one of ours. Servers that make variables
// of names (CGI, RFC 3875, 4.1.18) do not tell a hyphen from an underscore, or from anything else.
func claimsIdentity(name string) bool {
	same := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	return strings.HasPrefix(same, headerPrefix)
}

// debugWriter takes what net/http logs of its clients' faults.
type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(b []byte) (int, error) {
	w.log.Debug(strings.TrimSpace(string(b)))
	return len(b), nil
}
