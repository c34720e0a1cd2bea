package appserver

import (
	"crypto/sha256"
	"strings"
)

// serialKey stands for the serial number of a certificate: the beginning of its SHA-256, for numbers have any
// length. Only certificates take the place for it.
type serialKey [16]byte

// serialOf reads a serial number in hexadecimal as programs write it: either case, with colons or leading
// zeros or without. The key is nil if it is none.
func serialOf(text string) []byte {
	const maxSerial = 80 // RFC 5280, 4.1.2.2: 20 bytes, and what stands around them
	if len(text) > maxSerial {
		return nil
	}
	digits := strings.TrimLeft(strings.ToLower(strings.ReplaceAll(text, ":", "")), "0")
	if digits == "" || strings.Trim(digits, "0123456789abcdef") != "" {
		return nil
	}
	sum := sha256.Sum256([]byte(digits))
	return sum[:len(serialKey{})]
}

// setSerial notes the serial number, which never changes.
func (r *replica) setSerial(i uint32, c *credential, e *entry) {
	if len(e.Serial) != len(serialKey{}) || c.serial != 0 {
		return
	}
	n, place := r.serials.add()
	*place = serialKey(e.Serial)
	c.serial = n + 1
	r.bySerial.insert(e.Serial, i, r.serialKeyOf)
}

func (r *replica) dropSerial(i uint32, c *credential) {
	if c.serial == 0 {
		return
	}
	r.bySerial.remove(r.serialKeyOf(i), i, r.serialKeyOf)
	r.serials.remove(c.serial - 1)
}

func (r *replica) serialKeyOf(i uint32) []byte {
	return r.serials.at(r.credentials.at(i).serial - 1)[:]
}

// LookupSerial is [Middleware.Lookup] for servers that tell only the serial number of a certificate, in
// hexadecimal. They must have verified that it is one of the platform's, for other CAs have numbers of their
// own. If two of the platform's CAs gave the same number, which chance does not do, it is unknown.
func (m *Middleware) LookupSerial(serial string) (Identity, error) {
	print, ok := m.printOfSerial(serialOf(serial))
	if !ok {
		return m.Lookup(Fingerprint{})
	}
	return m.Lookup(print)
}

func (m *Middleware) printOfSerial(key []byte) (print Fingerprint, ok bool) {
	if key == nil {
		return print, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, found := m.current, 0
	r.bySerial.find(key, func(i uint32) bool {
		if c := r.credentials.at(i); c.serial != 0 && *r.serials.at(c.serial - 1) == serialKey(key) {
			print = c.print
			found++
		}
		return false // look on
	})
	return print, found == 1
}
