package authz

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// ListenOptions tell where [Listen] listens and who may ask there.
type ListenOptions struct {
	// Address is HOST:PORT, or unix:PATH for a socket that its owner and group may open.
	Address string
	// Certificate and key of the endpoint, for TLS.
	Certificate *tls.Certificate
	// ClientCAs, if not nil, must have issued the certificate of who asks. It needs Certificate.
	ClientCAs *x509.CertPool
	// Token tells that the handler wants one.
	Token bool
}

// Listen listens for those who ask. Off loopback it wants TLS, and a token or client certificates: an answer
// tells which credentials are good, and an altered one lets strangers in.
func Listen(o ListenOptions) (net.Listener, error) {
	if path, ok := strings.CutPrefix(o.Address, "unix:"); ok {
		return listenUnix(path)
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, fmt.Errorf("authz: listen address %q: want HOST:PORT or unix:PATH: %w", o.Address, err)
	}
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	if !local && (o.Certificate == nil || !o.Token && o.ClientCAs == nil) {
		return nil, fmt.Errorf("authz: %s can be reached from other machines: give a certificate and key, and a token or the CA of client certificates; or listen on 127.0.0.1 or unix:PATH", o.Address)
	}
	if o.ClientCAs != nil && o.Certificate == nil {
		return nil, errors.New("authz: client certificates need a certificate of the endpoint")
	}
	ln, err := net.Listen("tcp", o.Address)
	if err != nil || o.Certificate == nil {
		return ln, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{*o.Certificate}, NextProtos: []string{"h2", "http/1.1"}}
	if o.ClientCAs != nil {
		config.ClientCAs, config.ClientAuth = o.ClientCAs, tls.RequireAndVerifyClientCert
	}
	return tls.NewListener(ln, config), nil
}

// listenUnix replaces a socket that nobody listens on any more.
func listenUnix(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("authz: another process listens on %s", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		os.Remove(path)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("authz: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// The bounds of one who asks.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
)

// Serve answers on a listener until ctx ends, whose cause it returns.
func (h *Handler) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler: h, ReadTimeout: headerTimeout, WriteTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // of strangers' TLS
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(ln)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
