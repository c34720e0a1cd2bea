//go:build !linux

package reader

import "net"

// quickAck does nothing where the option does not exist.
func quickAck(net.Conn) {}
