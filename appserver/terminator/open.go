package terminator

import (
	"crypto/tls"
	"net"

	pion "github.com/pion/dtls/v3"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/piondtls"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// connectionIDs is the length of the connection ids that devices put into their records.
const connectionIDs = 8

// open opens the port of a way.
func (p *port) open() (*appserver.Listener, error) {
	m := p.Middleware
	switch p.way.Kind {
	case TLS:
		config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.Certificate() }}
		if p.way.Tell == HTTP {
			config.NextProtos = []string{"h2", "http/1.1"}
		}
		inner, err := p.listenTCP()
		if err != nil {
			return nil, err
		}
		return m.Listener(inner, m.TLSConfig(config)), nil
	case TLSPSK:
		config, err := m.PSKConfig(&psktls.Config{AllowPSKOnly: !p.ForwardSecrecy})
		if err != nil {
			return nil, err
		}
		inner, err := p.listenTCP()
		if err != nil {
			return nil, err
		}
		return m.PSKListener(inner, config), nil
	case DTLS:
		address, err := net.ResolveUDPAddr("udp", p.way.Listen)
		if err != nil {
			return nil, err
		}
		return piondtls.Listen(m, "udp", address, pion.WithMTU(p.MTU),
			pion.WithGetCertificate(func(*pion.ClientHelloInfo) (*tls.Certificate, error) { return p.Certificate() }))
	default:
		config, err := m.PSKConfig(&psktls.Config{AllowPSKOnly: !p.ForwardSecrecy})
		if err != nil {
			return nil, err
		}
		socket, err := net.ListenPacket("udp", p.way.Listen)
		if err != nil {
			return nil, err
		}
		ln, err := m.DTLSListener(socket, &dtls.Config{Config: *config, MTU: p.MTU, ConnectionIDs: connectionIDs})
		if err != nil {
			socket.Close()
		}
		return ln, err
	}
}

func (p *port) listenTCP() (net.Listener, error) {
	inner, err := net.Listen("tcp", p.way.Listen)
	if err != nil {
		return nil, err
	}
	return &limited{inner, p.limit}, nil
}
