package explain

import (
	"fmt"
	"strings"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/gp/scp03"
)

// secureChannel is what is known of SCP03 on one channel.
type secureChannel struct {
	open  bool // its begin was seen
	level scp03.Level
}

// macSize is the size of MACs and cryptograms in S8 mode, in bytes.
const macSize = 8

// challenge is the data of INITIALIZE UPDATE.
func challenge(_ *exchange, b []byte) []Part {
	return []Part{{Name: "host challenge", Hex: fmt.Sprintf("%X", b), Text: count(len(b))}}
}

// initializeAnswer is the answer to INITIALIZE UPDATE (Amendment D, 7.1.1.6).
func initializeAnswer(x *exchange, b []byte) []Part {
	if len(b) < 13 {
		return []Part{x.hidden("data", b, "too short to be an answer", true)}
	}
	parts := []Part{
		{Name: "key diversification data", Hex: fmt.Sprintf("%X", b[:10]), Text: iccid(b[:10])},
		{Name: "key set", Hex: hexByte(b[10])},
	}
	if b[11] != 0x03 {
		return append(parts, Part{Name: "protocol", Hex: hexByte(b[11]), Text: fmt.Sprintf("SCP%02X", b[11])},
			Part{Name: "rest", Hex: fmt.Sprintf("%X", b[12:]), Text: "in the form of that protocol"})
	}
	size, text := 8, "S8 mode"
	if b[12]&0x01 != 0 {
		size, text = 16, "S16 mode"
	}
	if bits := maskOf(words{0x10: "pseudo-random challenge", 0x20: "R-MAC", 0x40: "R-ENCRYPTION"})([]byte{b[12] &^ 0x01}); bits != "" {
		text += ", " + bits
	}
	parts = append(parts, Part{Name: "protocol", Hex: "03", Text: "SCP03"}, Part{Name: "i", Hex: hexByte(b[12]), Text: text})
	rest := b[13:]
	for _, piece := range []struct {
		name string
		size int
	}{{"card challenge", size}, {"card cryptogram", size}, {"sequence counter", 3}} {
		if len(rest) < piece.size {
			break
		}
		parts = append(parts, Part{Name: piece.name, Hex: fmt.Sprintf("%X", rest[:piece.size])})
		rest = rest[piece.size:]
	}
	if len(rest) > 0 {
		parts = append(parts, x.hidden("rest", rest, "left over", true))
	}
	return parts
}

// securityLevel is P1 of EXTERNAL AUTHENTICATE.
func securityLevel(c apdu.Command) string { return levelText(scp03.Level(c.P1)) }

func levelText(l scp03.Level) string {
	if l == 0 {
		return "nothing is protected"
	}
	if l.Check() != nil {
		return ""
	}
	var all []string
	for _, part := range []struct {
		level scp03.Level
		text  string
	}{
		{scp03.CMAC, "commands carry a MAC"}, {scp03.CDEC, "commands are enciphered"},
		{scp03.RMAC, "answers carry a MAC"}, {scp03.RENC, "answers are enciphered"},
	} {
		if l.Has(part.level) {
			all = append(all, part.text)
		}
	}
	return strings.Join(all, ", ")
}

// cryptogram is the data of EXTERNAL AUTHENTICATE.
func cryptogram(_ *exchange, b []byte) []Part {
	if len(b)%2 != 0 || len(b) == 0 {
		return []Part{{Name: "data", Hex: fmt.Sprintf("%X", b), Text: "should be a cryptogram and a MAC of the same size", Unknown: true}}
	}
	half := len(b) / 2
	return []Part{
		{Name: "host cryptogram", Hex: fmt.Sprintf("%X", b[:half])},
		{Name: "C-MAC", Hex: fmt.Sprintf("%X", b[half:])},
	}
}

func beginSecure(x *exchange, _ []byte) {
	level := scp03.Level(x.command.P1)
	x.ch.secure = secureChannel{open: level.Check() == nil, level: level}
}

func endSecure(x *exchange, _ []byte) { x.ch.secure = secureChannel{} }

// unprotect takes the protection off a command as far as it can be done without keys. It
// returns nil if what remains is in clear.
func (x *exchange) unprotect() []Part {
	data, secure := x.command.Data, x.ch.secure
	if x.command.INS == 0x82 && len(data) > 0 { // carries its MAC, and is never enciphered
		return nil
	}
	if len(data) < macSize {
		return []Part{x.hidden("data", data, "too short for a MAC", true)}
	}
	cut := len(data) - macSize
	mac := Part{Name: "C-MAC", Hex: fmt.Sprintf("%X", data[cut:])}
	switch {
	case cut == 0:
		return []Part{mac}
	case !secure.open:
		return []Part{{Name: "data", Text: count(cut) + ", enciphered or not: the begin of the secure channel is not here"}, mac}
	case secure.level.Has(scp03.CDEC):
		return []Part{{Name: "data", Text: count(cut) + ", enciphered"}, mac}
	}
	x.command.Data = data[:cut]
	x.row = x.find()
	if x.row == nil || x.row.data == nil {
		return []Part{x.hidden("data", data[:cut], "", true), mac}
	}
	return append(x.row.data(x, data[:cut]), mac)
}

// unprotectAnswer does the same with the data of an answer.
func (x *exchange) unprotectAnswer(data []byte) []Part {
	secure := x.ch.secure
	switch {
	case !secure.open:
		return []Part{{Name: "data", Text: count(len(data)) + ", protected or not: the begin of the secure channel is not here"}}
	case !secure.level.Has(scp03.RMAC), !x.sw.Processed():
		return x.clearAnswer(data)
	case len(data) < macSize:
		return []Part{x.hidden("data", data, "too short for a MAC", true)}
	}
	cut := len(data) - macSize
	mac := Part{Name: "R-MAC", Hex: fmt.Sprintf("%X", data[cut:])}
	switch {
	case cut == 0:
		return []Part{mac}
	case secure.level.Has(scp03.RENC):
		return []Part{{Name: "data", Text: count(cut) + ", enciphered"}, mac}
	}
	return append(x.clearAnswer(data[:cut]), mac)
}
