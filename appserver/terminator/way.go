package terminator

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// Kind is how SIMs come in.
type Kind string

// The kinds. Those of DTLS forward datagrams over UDP, the others streams over TCP.
const (
	TLS     Kind = "tls"
	TLSPSK  Kind = "tls-psk"
	DTLS    Kind = "dtls"
	DTLSPSK Kind = "dtls-psk"
)

// Datagrams tells whether a kind carries datagrams.
func (k Kind) Datagrams() bool { return k == DTLS || k == DTLSPSK }

// Certificates tells whether a kind is for certificates, and so needs one of the server's.
func (k Kind) Certificates() bool { return k == TLS || k == DTLS }

// Tell is how the server behind learns who speaks.
type Tell string

// The ways to tell.
const (
	Nothing    Tell = ""            // it does not
	ProxyV2    Tell = "proxy"       // a PROXY header, before a stream or before every datagram
	ProxyFirst Tell = "proxy-first" // a PROXY header before the first datagram of a session only
	HTTP       Tell = "http"        // header fields in every request
)

// Way is a port for SIMs, and the server that is behind it.
type Way struct {
	Kind    Kind
	Tell    Tell
	Listen  string // HOST:PORT; without a host, every address of this machine
	Backend string // HOST:PORT
}

// ParseWay reads KIND[+TELL]:LISTEN=BACKEND, such as tls+proxy:0.0.0.0:8883=127.0.0.1:1883.
func ParseWay(s string) (Way, error) {
	kind, rest, found := strings.Cut(s, ":")
	listen, backend, paired := strings.Cut(rest, "=")
	if !found || !paired {
		return Way{}, fmt.Errorf("%q: want KIND[+TELL]:LISTEN=BACKEND, for example dtls-psk:0.0.0.0:5684=127.0.0.1:5683", s)
	}
	kind, tell, _ := strings.Cut(kind, "+")
	w := Way{Kind(kind), Tell(tell), listen, backend}
	if err := w.check(); err != nil {
		return Way{}, fmt.Errorf("%q: %w", s, err)
	}
	return w, nil
}

// String is what [ParseWay] reads.
func (w Way) String() string {
	kind := string(w.Kind)
	if w.Tell != Nothing {
		kind += "+" + string(w.Tell)
	}
	return kind + ":" + w.Listen + "=" + w.Backend
}

func (w Way) check() error {
	tells := []Tell{Nothing, ProxyV2, HTTP}
	switch w.Kind {
	case TLS, TLSPSK:
	case DTLS, DTLSPSK:
		tells = []Tell{Nothing, ProxyV2, ProxyFirst}
	default:
		return fmt.Errorf("kind %q: want tls, tls-psk, dtls or dtls-psk", w.Kind)
	}
	if !slices.Contains(tells, w.Tell) {
		return fmt.Errorf("%s cannot tell who speaks by %q: want one of %q", w.Kind, w.Tell, tells[1:])
	}
	if _, port, err := net.SplitHostPort(w.Listen); err != nil || port == "" {
		return fmt.Errorf("LISTEN %q: want HOST:PORT", w.Listen)
	}
	if host, port, err := net.SplitHostPort(w.Backend); err != nil || host == "" || port == "" || port == "0" {
		return fmt.Errorf("BACKEND %q: want HOST:PORT", w.Backend)
	}
	return nil
}
