package psktls

import (
	"crypto/tls"

	"golang.org/x/crypto/cryptobyte"
)

// Extension numbers.
const (
	extServerName           uint16 = 0      // RFC 6066
	extSupportedGroups      uint16 = 10     // RFC 8422, 8446
	extPointFormats         uint16 = 11     // RFC 8422
	extSignatureAlgorithms  uint16 = 13     // RFC 8446
	extALPN                 uint16 = 16     // RFC 7301
	extExtendedMasterSecret uint16 = 23     // RFC 7627
	extPreSharedKey         uint16 = 41     // RFC 8446
	extEarlyData            uint16 = 42     // RFC 8446
	extSupportedVersions    uint16 = 43     // RFC 8446
	extCookie               uint16 = 44     // RFC 8446
	extPSKModes             uint16 = 45     // RFC 8446
	extKeyShare             uint16 = 51     // RFC 8446
	extConnectionID         uint16 = 54     // RFC 9146, DTLS only
	extRenegotiationInfo    uint16 = 0xFF01 // RFC 5746
)

// PSK key exchange modes (RFC 8446, 4.2.9).
const (
	modePSK    uint8 = 0 // psk_ke
	modePSKDHE uint8 = 1 // psk_dhe_ke
)

// keyShare is one public key of an ephemeral exchange.
type keyShare struct {
	group tls.CurveID
	data  []byte
}

// pskIdentity is one entry of the client's pre_shared_key.
type pskIdentity struct {
	identity []byte
	age      uint32 // obfuscated_ticket_age, 0 for external keys
}

// readExtensions calls read for each extension of a list, and makes sure that read takes all of its
// data and that none comes twice. The list may be missing altogether.
func readExtensions(s *cryptobyte.String, read func(number uint16, data *cryptobyte.String, last bool) (ok, known bool)) error {
	if s.Empty() {
		return nil
	}
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return errMalformed
	}
	return readExtensionList(list, read)
}

// readExtensionList is readExtensions for a list without its length.
func readExtensionList(list cryptobyte.String, read func(number uint16, data *cryptobyte.String, last bool) (ok, known bool)) error {
	var seen numbers
	for !list.Empty() {
		var number uint16
		var data cryptobyte.String
		if !list.ReadUint16(&number) || !list.ReadUint16LengthPrefixed(&data) {
			return errMalformed
		}
		if !seen.add(number) {
			return errRepeated
		}
		ok, known := read(number, &data, list.Empty())
		if !ok || known && !data.Empty() {
			return errMalformed
		}
	}
	return nil
}

// numbers is a set of extension numbers. A list in a message of 64 KiB can hold 16,384
// of them, so beyond a few it is a bitmap.
type numbers struct {
	few  []uint16
	many *[1 << 16 / 64]uint64
}

func (n *numbers) add(number uint16) (added bool) {
	if n.many == nil {
		for _, have := range n.few {
			if have == number {
				return false
			}
		}
		if n.few = append(n.few, number); len(n.few) < 32 {
			return true
		}
		n.many = new([1 << 16 / 64]uint64)
		for _, have := range n.few {
			n.many[have/64] |= 1 << (have % 64)
		}
		return true
	}
	word, bit := &n.many[number/64], uint64(1)<<(number%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// addExtension writes one extension.
func addExtension(b *cryptobyte.Builder, number uint16, data func(b *cryptobyte.Builder)) {
	b.AddUint16(number)
	b.AddUint16LengthPrefixed(data)
}

func nothing(*cryptobyte.Builder) {}

// readUint16s reads a vector of numbers with two bytes of length, not empty.
func readUint16s(s *cryptobyte.String, out *[]uint16) bool {
	var list cryptobyte.String
	return s.ReadUint16LengthPrefixed(&list) && readNumbers(list, out)
}

func readNumbers(list cryptobyte.String, out *[]uint16) bool {
	if list.Empty() || len(list)%2 != 0 {
		return false
	}
	*out = make([]uint16, 0, len(list)/2)
	var n uint16
	for list.ReadUint16(&n) {
		*out = append(*out, n)
	}
	return true
}

func readKeyShare(s *cryptobyte.String, out *keyShare) bool {
	return s.ReadUint16((*uint16)(&out.group)) && readVector16(s, &out.data) && len(out.data) > 0
}

// readProtocols reads a list of application protocols (RFC 7301, 3.1).
func readProtocols(s *cryptobyte.String, out *[]string) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() {
		return false
	}
	for !list.Empty() {
		var p []byte
		if !readVector8(&list, &p) || len(p) == 0 {
			return false
		}
		*out = append(*out, string(p))
	}
	return true
}

func addProtocols(b *cryptobyte.Builder, protocols ...string) {
	addExtension(b, extALPN, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, p := range protocols {
				addVector8(b, []byte(p))
			}
		})
	})
}

// addSchemes writes signature_algorithms (RFC 8446, 4.2.3).
func addSchemes(b *cryptobyte.Builder, schemes []uint16) {
	addExtension(b, extSignatureAlgorithms, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, s := range schemes {
				b.AddUint16(s)
			}
		})
	})
}

// addRenegotiationInfo writes what an initial handshake says: nothing was before.
func addRenegotiationInfo(b *cryptobyte.Builder) {
	addExtension(b, extRenegotiationInfo, func(b *cryptobyte.Builder) { b.AddUint8(0) })
}

// addConnectionID writes the id that we want to find in the peer's records (RFC 9146, 3). It may be
// empty.
func addConnectionID(b *cryptobyte.Builder, id []byte) {
	addExtension(b, extConnectionID, func(b *cryptobyte.Builder) { addVector8(b, id) })
}
