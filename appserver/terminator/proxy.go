package terminator

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/simroot/simroot/appserver"
)

// The types of PROXY protocol version 2 (haproxy, doc/proxy-protocol.txt, 2.2), and ours from its
// range PP2_TYPE_MIN_CUSTOM to PP2_TYPE_MAX_CUSTOM.
const (
	typeAuthority  = 0x02
	typeSSL        = 0x20
	typeSSLVersion = 0x21
	typeSSLCN      = 0x22
	typeSSLCipher  = 0x23

	// TypeICCID is the ICCID of the SIM, in digits.
	TypeICCID = 0xE0
	// TypeFleet is the fleet that the SIM belongs to.
	TypeFleet = 0xE1
	// TypeCredential is the ID of the credential that the SIM has shown.
	TypeCredential = 0xE2
)

// What the SSL value says of the client.
const (
	clientSSL             = 0x01
	clientCertOfConn      = 0x02
	clientCertOfSession   = 0x04
	verified              = 0
	presentsNoCertificate = 1
)

var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// proxyHeader announces a SIM's connection.
func proxyHeader(conn *appserver.Conn, datagrams bool) []byte {
	var values []byte
	f := factsOf(conn)
	if f.authority != "" {
		values = appendValue(values, typeAuthority, []byte(f.authority))
	}
	values = appendValue(values, typeSSL, f.ssl())
	id := conn.Identity()
	values = appendValue(values, TypeICCID, []byte(id.ICCID))
	values = appendValue(values, TypeFleet, []byte(id.Fleet))
	values = appendValue(values, TypeCredential, []byte(id.Credential))

	family, addresses := proxyAddresses(conn.RemoteAddr(), conn.LocalAddr())
	transport := byte(1) // STREAM
	if datagrams {
		transport = 2 // DGRAM
	}
	const version2Proxy = 0x21
	header := append(append([]byte(nil), proxySignature...), version2Proxy, family<<4|transport)
	header = binary.BigEndian.AppendUint16(header, uint16(len(addresses)+len(values)))
	return append(append(header, addresses...), values...)
}

// ssl is the value of type SSL.
func (f facts) ssl() []byte {
	client, verify := byte(clientSSL), uint32(presentsNoCertificate)
	if f.certificate {
		client, verify = clientSSL|clientCertOfConn|clientCertOfSession, verified
	}
	value := binary.BigEndian.AppendUint32([]byte{client}, verify)
	value = appendValue(value, typeSSLVersion, []byte(f.version))
	if f.certificate {
		value = appendValue(value, typeSSLCN, []byte(f.commonName))
	}
	return appendValue(value, typeSSLCipher, []byte(f.cipher))
}

// appendValue appends a value of a type. Names and IDs are short; what were longer than a
// kilobyte would not be one.
func appendValue(b []byte, kind byte, value []byte) []byte {
	value = value[:min(len(value), 1024)]
	return append(binary.BigEndian.AppendUint16(append(b, kind), uint16(len(value))), value...)
}

// proxyAddresses are the family and the addresses and ports of source and destination.
func proxyAddresses(from, to net.Addr) (family byte, b []byte) {
	source, destination := addrPort(from), addrPort(to)
	if source.Addr().Is4() && (destination.Addr().Is4() || destination.Addr().IsUnspecified()) {
		if !destination.Addr().Is4() {
			destination = netip.AddrPortFrom(netip.IPv4Unspecified(), destination.Port())
		}
		s, d := source.Addr().As4(), destination.Addr().As4()
		family, b = 1, append(s[:], d[:]...)
	} else {
		s, d := source.Addr().As16(), destination.Addr().As16()
		family, b = 2, append(s[:], d[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, source.Port())
	return family, binary.BigEndian.AppendUint16(b, destination.Port())
}

// addrPort is an address of TCP or UDP; of anything else, none.
func addrPort(a net.Addr) netip.AddrPort {
	known, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok || !known.AddrPort().Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.AddrPortFrom(known.AddrPort().Addr().Unmap(), known.AddrPort().Port())
}
