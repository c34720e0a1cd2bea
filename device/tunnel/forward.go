package tunnel

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// The networks of a [Forward].
const (
	TCP = "tcp" // into TLS
	UDP = "udp" // into DTLS
)

// Forward is one way through a tunnel: what reaches Local is passed on to Remote.
type Forward struct {
	Network string `json:"network"` // TCP or UDP; "" is TCP
	Local   string `json:"local"`   // HOST:PORT to listen on; port 0 is any that is free
	Remote  string `json:"remote"`  // HOST:PORT of the server; HOST is also the name or address that its certificate must have
}

// String is what [ParseForward] reads.
func (f Forward) String() string { return f.network() + ":" + f.Local + "=" + f.Remote }

func (f Forward) network() string {
	if f.Network == "" {
		return TCP
	}
	return f.Network
}

// ParseForward reads [tcp:|udp:]LOCAL=REMOTE. LOCAL is HOST:PORT, or PORT alone, which
// listens on 127.0.0.1; REMOTE is HOST:PORT.
func ParseForward(s string) (Forward, error) {
	f, err := parseForward(strings.TrimSpace(s))
	if err != nil {
		return Forward{}, fmt.Errorf("forward %q: %w", s, err)
	}
	return f, nil
}

func parseForward(s string) (Forward, error) {
	f := Forward{Network: TCP}
	for _, network := range []string{TCP, UDP} {
		if rest, found := strings.CutPrefix(s, network+":"); found {
			f.Network, s = network, rest
			break
		}
	}
	var found bool
	if f.Local, f.Remote, found = strings.Cut(s, "="); !found {
		return Forward{}, errors.New("want [tcp:|udp:]LOCAL=REMOTE, for example tcp:127.0.0.1:1883=broker.example:8883")
	}
	if _, err := strconv.ParseUint(f.Local, 10, 16); err == nil {
		f.Local = net.JoinHostPort("127.0.0.1", f.Local)
	}
	if err := checkAddress(f.Local, 0); err != nil {
		return Forward{}, fmt.Errorf("LOCAL %q: %w", f.Local, err)
	}
	if err := checkAddress(f.Remote, 1); err != nil {
		return Forward{}, fmt.Errorf("REMOTE %q: %w", f.Remote, err)
	}
	return f, nil
}

// checkAddress wants a host in an address: one without would listen to everybody, which is to
// be said, and has no name that a certificate could be checked for.
func checkAddress(address string, lowest uint64) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("want HOST:PORT: %w", err)
	}
	if host == "" {
		return errors.New("want HOST:PORT; 0.0.0.0 or [::] is everybody who reaches this machine")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n < lowest {
		return fmt.Errorf("port %q: want %d to 65535", port, lowest)
	}
	return nil
}

// ErrPublic says that others than the programs on this machine could reach a local port.
var ErrPublic = errors.New("whoever reaches this port speaks as the SIM, and it can be reached from other machines")

// local is the address that a forward is to listen on, as "HOST:PORT" without a name. Unless
// public, it is refused if it is not on loopback.
func (f Forward) local(public bool) (string, error) {
	host, port, err := net.SplitHostPort(f.Local)
	if err != nil {
		return "", err
	}
	ip, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return "", err
	}
	if !ip.IP.IsLoopback() && !public {
		return "", ErrPublic
	}
	return net.JoinHostPort(ip.String(), port), nil
}
