package explain

import (
	"fmt"
)

// lv reads values that have only a length before them.
func lv(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, b, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

// install is the data of INSTALL: values with only a length before them, whose meaning
// follows from what is installed (GPCS 2.3.1, 11.5.2.3).
func install(x *exchange, b []byte) []Part {
	names := []string{"load file AID", "module AID", "application AID", "privileges", "install parameters", "token"}
	switch x.command.P1 {
	case 0x20, 0x10, 0x40:
		names = []string{"security domain AID", "reserved", "application AID", "privileges", "parameters", "token"}
	case 0x02:
		names = []string{"load file AID", "security domain AID", "hash", "load parameters", "token"}
	}
	var parts []Part
	for _, name := range names {
		value, rest, ok := lv(b)
		if !ok {
			break
		}
		b = rest
		parts = append(parts, x.installValue(name, value))
	}
	if len(b) > 0 {
		parts = append(parts, x.hidden("rest", b, "left over", true))
	}
	return parts
}

func (x *exchange) installValue(name string, value []byte) Part {
	p := Part{Name: name, Hex: fmt.Sprintf("%X", value)}
	switch {
	case len(value) == 0:
		p.Text = "none"
	case name == "load file AID", name == "module AID", name == "application AID", name == "security domain AID":
		p.Text = aid(value)
	case name == "install parameters", name == "load parameters":
		p.Hex, p.Text = "", count(len(value))
		p.Parts = x.ber(value, installFields)
	default:
		p.Text = count(len(value))
	}
	return p
}

// receipt is the answer to what changes the registry.
func receipt(_ *exchange, b []byte) []Part {
	p := Part{Name: "receipt", Hex: fmt.Sprintf("%X", b), Text: count(len(b))}
	if len(b) == 1 && b[0] == 0 {
		p.Text = "none"
	}
	return []Part{p}
}

// storeData is the data of STORE DATA, in the form that P1 names.
func storeData(x *exchange, b []byte) []Part {
	switch x.command.P1 & 0x18 {
	case 0x10:
		return x.ber(b, storeFields)
	case 0x08:
		return x.dataGroups(b)
	}
	return []Part{x.hidden("data", b, "", false)}
}

// dataGroups are DGIs: two bytes of number, a length of one byte or FF and two, and a
// value, which is often a key.
func (x *exchange) dataGroups(b []byte) []Part {
	names := words{0x00B9: "control template", 0x8113: "symmetric key", 0x8137: "private key", 0x0036: "public key"}
	var parts []Part
	for len(b) >= 3 {
		n, head := int(b[2]), 3
		if n == 0xFF && len(b) >= 5 {
			n, head = int(b[3])<<8|int(b[4]), 5
		}
		text := ""
		if n > len(b)-head {
			n, text = len(b)-head, "so far; the next block goes on"
		}
		parts = append(parts, x.hidden(fmt.Sprintf("DGI %04X %s", number(b[:2]), names[number(b[:2])]), b[head:head+n], text, false))
		b = b[head+n:]
	}
	if len(b) > 0 {
		parts = append(parts, x.hidden("rest", b, "left over, no whole DGI", true))
	}
	return parts
}

var keyTypes = words{0x80: "DES", 0x85: "PSK of TLS", 0x88: "AES", 0x90: "HMAC-SHA1", 0x91: "HMAC-SHA1", 0xB0: "EC public", 0xB1: "EC private", 0xF0: "EC curve"}

// putKey is the data of PUT KEY: keys enciphered under the session's key-encryption key.
func putKey(x *exchange, b []byte) []Part {
	parts := []Part{{Name: "new key set", Hex: hexByte(b[0]), Text: fmt.Sprintf("version %02X", b[0])}}
	for rest := b[1:]; len(rest) > 0; {
		block, after, ok := lv(rest[1:])
		check, end, ok2 := lv(after)
		if !ok || !ok2 {
			return append(parts, x.hidden("rest", rest, "left over, no whole key", true))
		}
		kind := keyTypes[int(rest[0])]
		p := Part{Name: "key", Hex: hexByte(rest[0]), Text: kind, Unknown: kind == "", Parts: []Part{
			{Name: "key, enciphered", Text: count(len(block))},
			{Name: "check value", Hex: fmt.Sprintf("%X", check)},
		}}
		parts, rest = append(parts, p), end
	}
	return parts
}

// keyReceipt is the answer to PUT KEY.
func keyReceipt(_ *exchange, b []byte) []Part {
	return []Part{{Name: "key set", Hex: hexByte(b[0])}, {Name: "check values", Hex: fmt.Sprintf("%X", b[1:])}}
}

// keyInformation is one line of the key information template (GPCS 2.3.1, 11.3.3.1).
func keyInformation(v []byte) string {
	if len(v) < 4 {
		return ""
	}
	kind := keyTypes[int(v[2])]
	if kind == "" {
		kind = fmt.Sprintf("type %02X", v[2])
	}
	return fmt.Sprintf("number %d of key set %02X: %s, %s", v[0], v[1], kind, count(int(v[3])))
}

// applicationName is the AID that SET STATUS is about.
func applicationName(_ *exchange, b []byte) []Part {
	return []Part{{Name: "AID", Hex: fmt.Sprintf("%X", b), Text: aid(b)}}
}
