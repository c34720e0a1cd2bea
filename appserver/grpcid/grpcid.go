// Package grpcid lets SIMs in to a gRPC server, and tells its handlers which SIM calls. It is a package
// of its own so that gRPC comes only to those who use it.
//
//	server := grpc.NewServer(grpc.Creds(grpcid.TLS(m, &tls.Config{Certificates: own})))
//
//	func (s *service) Report(ctx context.Context, r *Reading) (*Receipt, error) {
//		id, ok := grpcid.FromContext(ctx)
//
// A connection ends, with the calls on it, as soon as its credential is no longer accepted.
package grpcid

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/psktls"
)

// AuthInfo is what gRPC knows of a connection.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Identity appserver.Identity
}

// AuthType implements [credentials.AuthInfo].
func (AuthInfo) AuthType() string { return "simroot" }

// FromContext is the SIM that makes a call, and false if the server's credentials are not of
// this package.
func FromContext(ctx context.Context) (appserver.Identity, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return appserver.Identity{}, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.Identity, ok
}

// alpn is the application protocol of gRPC (RFC 9113, 3.1).
const alpn = "h2"

// TLS are a server's credentials that let in SIMs with an accepted certificate, with the
// configuration that [appserver.Middleware.TLSConfig] makes of base.
func TLS(m *appserver.Middleware, base *tls.Config) credentials.TransportCredentials {
	if base == nil {
		base = &tls.Config{}
	}
	base = base.Clone()
	base.NextProtos = withALPN(base.NextProtos)
	config := m.TLSConfig(base)
	return &server{protocol: "tls", admit: func(ctx context.Context, accepted net.Conn) (*appserver.Conn, error) {
		return m.Admit(ctx, tls.Server(accepted, config))
	}}
}

// PSK are a server's credentials that let in SIMs with an accepted pre-shared key, with the
// configuration that [appserver.Middleware.PSKConfig] makes of base.
func PSK(m *appserver.Middleware, base *psktls.Config) (credentials.TransportCredentials, error) {
	config, err := m.PSKConfig(base)
	if err != nil {
		return nil, err
	}
	config.NextProtos = withALPN(config.NextProtos)
	return &server{protocol: "tls-psk", admit: func(ctx context.Context, accepted net.Conn) (*appserver.Conn, error) {
		return m.AdmitPSK(ctx, psktls.Server(accepted, config))
	}}, nil
}

func withALPN(protocols []string) []string {
	if slices.Contains(protocols, alpn) {
		return protocols
	}
	return append(slices.Clone(protocols), alpn)
}

// server implements [credentials.TransportCredentials] for servers.
type server struct {
	protocol string
	admit    appserver.AdmitFunc
}

// ServerHandshake implements [credentials.TransportCredentials]. gRPC bounds it by a deadline on
// the connection.
func (s *server) ServerHandshake(accepted net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, err := s.admit(context.Background(), accepted)
	if err != nil {
		return nil, nil, err
	}
	return conn, AuthInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, conn.Identity()}, nil
}

// ClientHandshake implements [credentials.TransportCredentials], and fails.
func (s *server) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("grpcid: these credentials are a server's: a client has those of package device")
}

// Info implements [credentials.TransportCredentials].
func (s *server) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: s.protocol}
}

// Clone implements [credentials.TransportCredentials].
func (s *server) Clone() credentials.TransportCredentials { return s }

// OverrideServerName implements [credentials.TransportCredentials]. A server has none.
func (s *server) OverrideServerName(string) error { return nil }
