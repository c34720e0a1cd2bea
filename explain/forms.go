package explain

import (
	"bytes"
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// fieldsOf is data that consists of the fields of a dictionary.
func fieldsOf(d dictionary) form {
	return func(x *exchange, b []byte) []Part { return x.simple(b, d) }
}

// berOf is the same in BER-TLV.
func berOf(d dictionary) form {
	return func(x *exchange, b []byte) []Part { return x.ber(b, d) }
}

// streamOf is data of which one command may begin a field that the next ones go on with
// (IoT SAFE 3.13: full text; public keys and signatures of RSA).
func streamOf(d dictionary) form {
	return func(x *exchange, b []byte) []Part {
		me := stream{x.command.INS, x.command.P2, true}
		_, fits := fit(b, d)
		_, known := d[tlv.Tag(b[0])]
		goesOn := !fits && x.ch.stream == me
		begins := !fits && !goesOn && known && x.command.P1 == 0
		switch {
		case x.command.P1 != 0 || fits:
			x.ch.stream = stream{}
		case begins:
			x.ch.stream = me
		}
		switch {
		case begins:
			return []Part{{Name: fmt.Sprintf("%02X %s", b[0], d[tlv.Tag(b[0])].name), Text: count(len(b)) + ", the begin of a field that goes on"}}
		case goesOn:
			return []Part{{Name: "data", Text: count(len(b)) + ", continued from the command before"}}
		}
		return x.simple(b, d)
	}
}

// stream is a field that is given in parts.
type stream struct {
	ins, session byte
	open         bool
}

// secretOf is data that is secret as a whole.
func secretOf(name string) form {
	return func(x *exchange, b []byte) []Part { return []Part{x.hidden(name, b, "", false)} }
}

// opaque is data of which only the bytes are shown.
func opaque(text string) form {
	return func(_ *exchange, b []byte) []Part {
		return []Part{{Name: "data", Hex: fmt.Sprintf("%X", b), Text: text}}
	}
}

// tlsLabels are what TLS puts before the seed of its PRF (RFC 5246, RFC 7627).
var tlsLabels = []string{"extended master secret", "master secret", "key expansion", "client finished", "server finished"}

// labelAndSeed splits what the PRF is given (tag D2).
func labelAndSeed(_ *exchange, b []byte) []Part {
	name := ""
	for _, l := range tlsLabels {
		if bytes.HasPrefix(b, []byte(l)) {
			name = l
			break
		}
	}
	if name == "" {
		for len(name) < len(b) && b[len(name)] >= 0x20 && b[len(name)] < 0x7F {
			name = string(b[:len(name)+1])
		}
	}
	parts := []Part{{Name: "label", Text: fmt.Sprintf("%q", name)}}
	if seed := b[len(name):]; len(seed) > 0 {
		parts = append(parts, Part{Name: "seed", Hex: fmt.Sprintf("%X", seed), Text: count(len(seed))})
	}
	return parts
}

// publicKey is public key data, or the bare point that some applets send.
func publicKey(x *exchange, b []byte) []Part {
	if len(b) == 65 && b[0] == 0x04 {
		return []Part{{Name: "point", Hex: fmt.Sprintf("%X", b), Text: point(b)}}
	}
	return x.simple(b, operationFields)
}

// description is what GET DATA tells (IoT SAFE 3.3 to 3.5).
func description(x *exchange, b []byte) []Part {
	switch x.command.P1 {
	case 0x00:
		return x.application(b)
	case 0x01:
		return x.list(b)
	case 0xF0:
		return x.simple(b, serviceFields)
	}
	return x.simple(b, oneObjectFields)
}

// application is what the applet says of itself. The proprietary identifier of one applet is
// a byte shorter than its length says.
func (x *exchange) application(b []byte) []Part {
	if _, fits := fit(b, applicationFields); fits || len(b) < 5 || b[3] != 0x11 {
		return x.simple(b, applicationFields)
	}
	odd := bytes.Clone(b)
	odd[4]--
	return x.simple(odd, applicationFields)
}

// list is a part of the object list. What is cut off at its end is completed by the next
// part.
func (x *exchange) list(b []byte) []Part {
	if x.command.P2 == 0 {
		x.ch.list = nil
	}
	all := append(x.ch.list, b...)
	x.ch.list = nil
	var elements []element
	end := 0
	for _, e := range greedy(all) {
		if _, known := objectFields[e.tag]; !known {
			break
		}
		elements = append(elements, e)
		end = e.end
	}
	rest := all[end:]
	if x.sw != apdu.MoreData || len(rest) == 0 || len(rest) > 256 {
		return x.parts(all, elements, objectFields)
	}
	x.ch.list = bytes.Clone(rest)
	return append(x.parts(all[:end], elements, objectFields),
		Part{Name: "begin of an object", Text: count(len(rest)) + "; the next part completes it"})
}

// selected is the data of SELECT.
func selected(x *exchange, b []byte) []Part {
	if x.command.P1 == 0x04 {
		return []Part{{Name: "AID", Hex: fmt.Sprintf("%X", b), Text: aid(b)}}
	}
	if x.command.P1 == 0x08 || x.command.P1 == 0x09 {
		text := ""
		for rest := b; len(rest) >= 2; rest = rest[2:] {
			text += " › " + fileIdentifier(rest[:2])
		}
		return []Part{{Name: "path", Hex: fmt.Sprintf("%X", b), Text: text}}
	}
	return []Part{{Name: "file", Hex: fmt.Sprintf("%X", b), Text: fileIdentifier(b)}}
}

func afterSelect(x *exchange, _ []byte) {
	endSecure(x, nil)
	data := x.command.Data
	if x.command.P1 == 0x04 {
		x.ch.app, x.ch.file = applicationOf(data), 0
		return
	}
	x.ch.app, x.ch.file = application{}, 0
	if n := len(data); n >= 2 {
		x.ch.file = number(data[n-2:])
	}
}

// openedChannel is the answer to MANAGE CHANNEL.
func openedChannel(_ *exchange, b []byte) []Part {
	if len(b) == 1 {
		return []Part{{Name: "channel", Hex: hexByte(b[0]), Text: fmt.Sprintf("channel %d is open", b[0])}}
	}
	return []Part{{Name: "data", Hex: fmt.Sprintf("%X", b), Text: "should be a channel number", Unknown: true}}
}

func afterManageChannel(x *exchange, _ []byte) {
	n := int(x.command.P2)
	if n == 0 {
		n = apdu.ChannelOf(x.command.CLA)
	}
	if x.command.P1 == 0x80 && n < len(x.session.channels) {
		x.session.channels[n] = channel{}
	}
}

// binary is the content of an elementary file. All but the SIM's number may be personal.
func binary(x *exchange, b []byte) []Part {
	if x.ch.file == efICCID {
		return []Part{{Name: "content", Hex: fmt.Sprintf("%X", b), Text: iccid(b)}}
	}
	return []Part{x.hidden("content", b, "", false)}
}

// record is one record of an elementary file.
func record(x *exchange, b []byte) []Part {
	if used := bytes.TrimRight(b, "\xFF"); len(used) > 0 && used[0] == 0x61 {
		if _, _, err := tlv.Next(used); err == nil {
			return x.ber(used, directoryFields)
		}
	}
	return []Part{x.hidden("record", b, "", false)}
}
