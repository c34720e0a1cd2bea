package main

import (
	"fmt"
	"net"
	"os"
)

// notify tells systemd the state of a service of Type=notify (sd_notify(3)); without systemd it
// does nothing.
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}) // a leading @ is an abstract name, here and there
	if err != nil {
		return fmt.Errorf("tell systemd (NOTIFY_SOCKET): %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell systemd (NOTIFY_SOCKET): %w", err)
	}
	return nil
}
