package psktls

import "errors"

// ErrNoKeyUpdate is the answer of [Conn.UpdateKeys] in TLS 1.2, which has no such thing.
var ErrNoKeyUpdate = errors.New("psktls: keys are updated in TLS 1.3 only")

// UpdateKeys changes the key for what this side writes (RFC 8446, 4.6.3), and with request asks
// the peer to do the same, which it does before it next writes. It completes the handshake
// if need be. It is not needed for long connections: keys change by themselves in time.
func (c *Conn) UpdateKeys(request bool) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	if c.suite.version != VersionTLS13 {
		return ErrNoKeyUpdate
	}
	c.out.Lock()
	defer c.out.Unlock()
	if err := c.updateOut(request); err != nil {
		return err
	}
	return c.flush()
}

// updateOut puts a KeyUpdate into the buffer, and changes the key for what follows. The lock
// on out is held.
func (c *Conn) updateOut(request bool) error {
	raw, err := encode(keyUpdate{request})
	if err != nil {
		return err
	}
	if err := c.writeRecord(recordHandshake, raw); err != nil {
		return err
	}
	next, err := c.out.protection.next(c.suite)
	if err != nil {
		return err
	}
	c.out.protection = next
	return nil
}
