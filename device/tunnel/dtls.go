package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	pion "github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"

	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// datagramsWithCertificate is pion/dtls. It offers to send the server's connection id
// (RFC 9146), so that a server which knows these finds the session again when a NAT
// has given the device another address.
func (w *way) datagramsWithCertificate(ctx context.Context, a attempt) (net.Conn, error) {
	options, err := a.sim.DTLSOptions(ctx, a.host)
	if err != nil {
		a.seen.note(err)
		return nil, err
	}
	options = append(options,
		pion.WithGetClientCertificate(func(*pion.CertificateRequestInfo) (*tls.Certificate, error) { return a.certificate(ctx) }),
		pion.WithConnectionIDGenerator(pion.OnlySendCIDGenerator()),
		pion.WithMTU(w.MTU))
	if w.Roots != nil {
		options = append(options, pion.WithRootCAs(w.Roots))
	}
	conn, err := pion.ClientWithOptions(dtlsnet.PacketConnFromConn(a.raw), a.raw.RemoteAddr(), options...)
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return fitting{conn, w.MTU - pionOverhead}, nil
}

// pionOverhead is the most that pion/dtls adds to a datagram, in bytes: header, nonce and tag or
// padding, and a connection id of usual length.
const pionOverhead = 64

// fitting refuses what does not fit in a datagram, which pion/dtls does not.
type fitting struct {
	*pion.Conn
	longest int
}

func (f fitting) Write(b []byte) (int, error) {
	if len(b) > f.longest {
		return 0, fmt.Errorf("%w: %d bytes, and %d fit", psktls.ErrDatagramTooLong, len(b), f.longest)
	}
	return f.Conn.Write(b)
}

// datagramsWithPSK is psktls/dtls. It offers connection ids too.
func (w *way) datagramsWithPSK(ctx context.Context, a attempt, identity string) (net.Conn, error) {
	config, err := a.pskConfig(ctx, identity)
	if err != nil {
		return nil, err
	}
	conn, err := dtls.Client(a.raw, &dtls.Config{Config: *config, MTU: w.MTU, ConnectionIDs: dtls.OnlySend})
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn, nil
}
