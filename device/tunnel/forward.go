package tunnel

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Forward is one way through a tunnel: what connects to Local is connected to Remote.
type Forward struct {
	Local  string // HOST:PORT to listen on; port 0 is any that is free
	Remote string // HOST:PORT of the server; HOST is also the name that its certificate must have
}

func (f Forward) String() string { return f.Local + "=" + f.Remote }

// ParseForwards reads LOCAL=REMOTE[,LOCAL=REMOTE...]. LOCAL is HOST:PORT, or PORT alone, which
// listens on 127.0.0.1; REMOTE is HOST:PORT.
func ParseForwards(s string) ([]Forward, error) {
	var all []Forward
	taken := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		f, err := parseForward(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("forward %q: %w", part, err)
		}
		if taken[f.Local] && !strings.HasSuffix(f.Local, ":0") {
			return nil, fmt.Errorf("forward %q: %s is forwarded already", part, f.Local)
		}
		taken[f.Local] = true
		all = append(all, f)
	}
	return all, nil
}

func parseForward(s string) (Forward, error) {
	local, remote, found := strings.Cut(s, "=")
	if !found {
		return Forward{}, errors.New("want LOCAL=REMOTE, for example 1883=broker.example:8883")
	}
	if _, err := strconv.ParseUint(local, 10, 16); err == nil {
		local = net.JoinHostPort("127.0.0.1", local)
	}
	if err := checkAddress(local, 0); err != nil {
		return Forward{}, fmt.Errorf("LOCAL %q: %w", local, err)
	}
	if err := checkAddress(remote, 1); err != nil {
		return Forward{}, fmt.Errorf("REMOTE %q: %w", remote, err)
	}
	return Forward{Local: local, Remote: remote}, nil
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
