package laws

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/simroot/simroot/api"
)

// eavesdropper stands before a platform and keeps all that it answers.
type eavesdropper struct {
	mu       sync.Mutex
	answers  map[string]*bytes.Buffer // by method and path
	sessions map[string]bool          // of the relay: who knows one can speak in it
}

func (e *eavesdropper) keep(operation string, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.answers[operation] == nil {
		e.answers[operation] = &bytes.Buffer{}
	}
	e.answers[operation].Write(b)
}

// heard is one answer on its way.
type heard struct {
	io.ReadCloser
	keep func([]byte)
}

func (h heard) Read(b []byte) (int, error) {
	n, err := h.ReadCloser.Read(b)
	h.keep(b[:n])
	return n, err
}

// overhear puts an eavesdropper between the platform and everybody: from here on the world's clients
// speak through it.
func (w *world) overhear() *eavesdropper {
	w.t.Helper()
	roots, err := api.LoadRoots(w.TrustAnchor())
	if err != nil {
		w.t.Fatal(err)
	}
	own, err := w.ServerCertificate(w.t.Context(), "127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	admin, err := w.Admin.CreateToken(w.t.Context(), api.TokenRequest{Name: "overheard", Role: api.RoleAdmin})
	if err != nil {
		w.t.Fatal(err)
	}
	target, err := url.Parse(w.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	e := &eavesdropper{answers: map[string]*bytes.Buffer{}, sessions: map[string]bool{}}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true}
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(r *http.Response) error {
			operation := r.Request.Method + " " + r.Request.URL.Path
			if session, ok := strings.CutPrefix(r.Request.URL.Path, api.PathRelay+"/"); ok {
				operation = r.Request.Method + " " + api.PathRelay
				e.mu.Lock()
				e.sessions[session] = true
				e.mu.Unlock()
			}
			keep := func(b []byte) { e.keep(operation, b) }
			var head bytes.Buffer
			if err := r.Header.Write(&head); err != nil {
				return err
			}
			keep(head.Bytes())
			r.Body = heard{r.Body, keep}
			return nil
		},
	})
	server.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	server.StartTLS()
	w.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	w.URL, w.Token = server.URL, admin.Secret
	if w.Admin, err = w.Client(admin.Secret); err != nil {
		w.t.Fatal(err)
	}
	if w.Agent, err = w.Client(""); err != nil {
		w.t.Fatal(err)
	}
	return e
}
