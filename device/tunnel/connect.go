package tunnel

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/psktls"
)

// How often a connection is tried while the client waits. Reaching a server costs nothing; each
// handshake costs the SIM a signature.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 4 * time.Second
	handshakes = 3
)

// connect reaches the server and does the handshake. It tries again what may pass.
func (s *streams) connect(ctx context.Context) (stream, error) {
	wait := firstPause
	for tried := 0; ; {
		sim, err := s.SIM.Device()
		if err != nil {
			return nil, err
		}
		dialer := net.Dialer{}
		raw, err := dialer.DialContext(ctx, "tcp", s.forward.Remote)
		if err == nil {
			var secured stream
			if secured, err = s.secure(ctx, raw, sim); err == nil {
				return secured, nil
			}
			raw.Close()
			if tried++; tried == handshakes || !passes(err) {
				return nil, err
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			wait = min(2*wait, lastPause)
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// errSIM is why a handshake failed whose fault was on this side.
var errSIM = errors.New("the SIM did not do its part")

// passes tells whether another handshake may go better: if the line broke, and nobody said no,
// or if the SIM has just been given another credential.
func passes(err error) bool {
	if errors.Is(err, errSIM) {
		return iotsafe.Changed(err)
	}
	var broken *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &broken) && broken.Op != "remote error" && broken.Op != "local error"
}

// secure does the handshake with what the SIM has.
func (s *streams) secure(ctx context.Context, raw net.Conn, sim *device.Device) (secured stream, err error) {
	host, _, err := net.SplitHostPort(s.forward.Remote)
	if err != nil {
		return nil, err
	}
	var fault error // of the SIM
	defer func() {
		if fault == nil {
			return
		}
		s.SIM.Suspect()
		// crypto/tls hands on no more than the text of such an error.
		secured, err = nil, fmt.Errorf("%w: %w", errSIM, fault)
	}()
	identity := ""
	if s.Identity != nil {
		identity = s.Identity()
	}
	if identity != "" {
		return withPSK(ctx, raw, sim, host, identity, &fault)
	}
	return withCertificate(ctx, raw, sim, host, s.Roots, &fault)
}

func withCertificate(ctx context.Context, raw net.Conn, sim *device.Device, host string, roots *x509.CertPool, fault *error) (stream, error) {
	config, err := sim.TLSConfig(ctx)
	if err != nil {
		*fault = err
		return nil, err
	}
	config.ServerName = host
	if roots != nil {
		config.RootCAs = roots
	}
	ask := config.GetClientCertificate
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate, err := ask(request)
		if err != nil {
			*fault = err
			return nil, err
		}
		certificate.PrivateKey = watchedSigner{certificate.PrivateKey.(crypto.Signer), fault}
		return certificate, nil
	}
	line := &noted{Conn: raw}
	conn := tls.Client(line, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return whole{conn, line}, nil
}

// whole tells a connection that was cut between two records from one that the server has
// ended: crypto/tls takes both for an end (RFC 8446, 6.1, says why they are not the same).
type whole struct {
	*tls.Conn
	line *noted
}

func (w whole) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err == io.EOF && w.line.ended.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// noted notes that the line under TLS has ended. TLS reads no further once it has been told
// that nothing more will come.
type noted struct {
	net.Conn
	ended atomic.Bool
}

func (n *noted) Read(b []byte) (int, error) {
	read, err := n.Conn.Read(b)
	if err == io.EOF {
		n.ended.Store(true)
	}
	return read, err
}

func withPSK(ctx context.Context, raw net.Conn, sim *device.Device, host, identity string, fault *error) (stream, error) {
	config, err := sim.PSKConfig(ctx, identity, host)
	if err != nil {
		*fault = err
		return nil, err
	}
	config.Key = watchedKey{config.Key, fault}
	conn := psktls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn, nil
}

// watchedSigner and watchedKey note when the SIM fails.
type watchedSigner struct {
	crypto.Signer
	fault *error
}

func (w watchedSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := w.Signer.Sign(rand, digest, opts)
	if err != nil {
		*w.fault = err
	}
	return signature, err
}

type watchedKey struct {
	psktls.Key
	fault *error
}

func (w watchedKey) MasterSecret(ctx context.Context, hash crypto.Hash, other []byte, label string, seed []byte) ([]byte, error) {
	secret, err := w.Key.MasterSecret(ctx, hash, other, label, seed)
	if err != nil {
		*w.fault = err
	}
	return secret, err
}
