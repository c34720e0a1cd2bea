package explain

import (
	"github.com/simroot/simroot/apdu"
)

// instruction is what is known of one command.
type instruction struct {
	ins    byte
	name   string
	clause string // where it is specified

	// when tells whether this row is meant, where several have the same ins. The
	// first that is counts. nil: always.
	when func(x *exchange) bool

	p1, p2 parameter // nil: always 00
	data   form      // nil: carries none
	answer form      // nil: is answered with none

	// after draws the consequences of success for what follows. May be nil.
	after func(x *exchange, answer []byte)
}

// insGetResponse fetches the answer to the command before it.
const insGetResponse = 0xC0

// instructions is every command that the package knows. A new one is a new row.
var instructions = []instruction{
	// The IoT SAFE applet.
	{ins: 0x24, name: "PUT PUBLIC KEY INIT", clause: "IoT SAFE 3.10", p1: openOrClose, p2: sessionNumber, data: fieldsOf(operationFields)},
	{ins: 0xD8, name: "PUT PUBLIC KEY UPDATE", clause: "IoT SAFE 3.10", when: carriesPublicKey, p1: lastOrMore, p2: sessionNumber, data: streamOf(operationFields)},
	{ins: 0x2A, name: "COMPUTE SIGNATURE INIT", clause: "IoT SAFE 3.13", p1: openOrClose, p2: sessionNumber, data: fieldsOf(operationFields)},
	{ins: 0x2B, name: "COMPUTE SIGNATURE UPDATE", clause: "IoT SAFE 3.13", p1: lastOrMore, p2: sessionNumber, data: streamOf(operationFields), answer: fieldsOf(operationFields)},
	{ins: 0x2C, name: "VERIFY SIGNATURE INIT", clause: "IoT SAFE 3.14", p1: openOrClose, p2: sessionNumber, data: fieldsOf(operationFields)},
	{ins: 0x2D, name: "VERIFY SIGNATURE UPDATE", clause: "IoT SAFE 3.14", p1: lastOrMore, p2: sessionNumber, data: streamOf(operationFields)},
	{ins: 0x46, name: "COMPUTE DH", clause: "IoT SAFE 3.11", data: fieldsOf(operationFields), answer: secretOf("shared secret")},
	{ins: 0x48, name: "COMPUTE PRF", clause: "IoT SAFE 3.15", p1: prfMode, data: fieldsOf(operationFields), answer: secretOf("derived bytes")},
	{ins: 0x4A, name: "COMPUTE HKDF (extract)", clause: "IoT SAFE 3.16", data: fieldsOf(operationFields), answer: secretOf("pseudo-random key")},
	{ins: 0x84, name: "GET RANDOM", clause: "IoT SAFE 3.6", answer: secretOf("random bytes")},
	{ins: 0xB0, name: "READ FILE", clause: "IoT SAFE 3.7", when: carriesData, p1: offsetHigh, p2: offsetLow, data: fieldsOf(nameFields), answer: fileContent},
	{ins: 0xB9, name: "GENERATE KEY PAIR", clause: "IoT SAFE 3.8", data: fieldsOf(nameFields), answer: fieldsOf(operationFields)},
	{ins: 0xCB, name: "GET DATA", clause: "IoT SAFE 3.3 to 3.5", p1: describedWhat, p2: firstOrNext, data: fieldsOf(nameFields), answer: description},
	{ins: 0xCD, name: "READ PUBLIC KEY", clause: "IoT SAFE 3.9", data: fieldsOf(nameFields), answer: publicKey},

	// simroot's own services, which few applets offer (docs/applet.md).
	{ins: 0x5A, name: "COMPUTE HASH INIT", clause: "docs/applet.md", p1: openOrClose, p2: sessionNumber, data: fieldsOf(operationFields)},
	{ins: 0x5B, name: "COMPUTE HASH UPDATE", clause: "docs/applet.md", p1: lastOrMore, p2: sessionNumber, data: secretOf("text"), answer: opaque("digest")},
	{ins: 0x5C, name: "ENCRYPT INIT", clause: "docs/applet.md", p1: openOrClose, p2: sessionNumber, data: fieldsOf(operationFields)},
	{ins: 0x5D, name: "ENCRYPT UPDATE", clause: "docs/applet.md", p1: lastOrMore, p2: sessionNumber, data: secretOf("text"), answer: opaque("nonce, ciphertext and tag")},
	{ins: 0x5E, name: "DECRYPT INIT", clause: "docs/applet.md", p1: openOrClose, p2: sessionNumber, data: fieldsOf(operationFields)},
	{ins: 0x5F, name: "DECRYPT UPDATE", clause: "docs/applet.md", p1: lastOrMore, p2: sessionNumber, data: opaque("what is enciphered"), answer: secretOf("text")},

	// The card and its security domains.
	{ins: 0xA4, name: "SELECT", clause: "ISO/IEC 7816-4, 11.2.2; GPCS 2.3.1, 11.9", p1: selectBy, p2: selectAnswer, data: selected, answer: berOf(selectFields), after: afterSelect},
	{ins: 0x70, name: "MANAGE CHANNEL", clause: "ETSI TS 102 221, 11.1.17", p1: channelAction, p2: channelNumber, answer: openedChannel, after: afterManageChannel},
	{ins: insGetResponse, name: "GET RESPONSE", clause: "ISO/IEC 7816-4, 11.7.1", answer: berOf(selectFields)},
	{ins: 0x50, name: "INITIALIZE UPDATE", clause: "GPCS Amendment D, 7.1.1", p1: keyVersion, p2: keyIdentifier, data: challenge, answer: initializeAnswer, after: endSecure},
	{ins: 0x82, name: "EXTERNAL AUTHENTICATE", clause: "GPCS Amendment D, 7.1.2", p1: securityLevel, data: cryptogram, after: beginSecure},
	{ins: 0xE6, name: "INSTALL", clause: "GPCS 2.3.1, 11.5", p1: installFor, data: install, answer: receipt},
	{ins: 0xE2, name: "STORE DATA", clause: "GPCS 2.3.1, 11.11", p1: storeForm, p2: blockNumber, data: storeData, answer: berOf(persoAnswerFields)},
	{ins: 0xE8, name: "LOAD", clause: "GPCS 2.3.1, 11.6", p1: lastOrMore, p2: blockNumber, data: opaque("part of a load file"), answer: receipt},
	{ins: 0xD8, name: "PUT KEY", clause: "GPCS 2.3.1, 11.8", p1: replacedKey, p2: keyNumber, data: putKey, answer: keyReceipt},
	{ins: 0xE4, name: "DELETE", clause: "GPCS 2.3.1, 11.2", p1: lastOrMoreDelete, p2: deleteRelated, data: berOf(askFields), answer: receipt},
	{ins: 0xCA, name: "GET DATA", clause: "GPCS 2.3.1, 11.3", p1: tagHigh, p2: tagLow, data: berOf(askFields), answer: berOf(domainFields)},
	{ins: 0xF2, name: "GET STATUS", clause: "GPCS 2.3.1, 11.4", when: proprietaryWithData, p1: registryPart, p2: registryForm, data: berOf(askFields), answer: berOf(statusFields)},
	{ins: 0xF0, name: "SET STATUS", clause: "GPCS 2.3.1, 11.10", p1: registryPart, p2: newLifeCycle, data: applicationName},

	// What a SIM is asked on the way.
	{ins: 0x20, name: "VERIFY PIN", clause: "ETSI TS 102 221, 11.1.9", p2: anyValue("PIN reference"), data: secretOf("PIN")},
	{ins: 0xB0, name: "READ BINARY", clause: "ETSI TS 102 221, 11.1.3", p1: offsetHigh, p2: offsetLow, answer: binary},
	{ins: 0xB2, name: "READ RECORD", clause: "ETSI TS 102 221, 11.1.5", p1: recordNumber, p2: recordMode, answer: record},
	{ins: 0xF2, name: "STATUS", clause: "ETSI TS 102 221, 11.1.2", p1: anyValue("state of the application"), p2: anyValue("form of the answer"), data: opaque(""), answer: berOf(selectFields)},
	{ins: 0x10, name: "TERMINAL PROFILE", clause: "ETSI TS 102 221, 11.2.1", data: opaque("what the terminal can do")},
	{ins: 0x12, name: "FETCH", clause: "ETSI TS 102 221, 11.2.3", answer: secretOf("proactive command")},
	{ins: 0x14, name: "TERMINAL RESPONSE", clause: "ETSI TS 102 221, 11.2.4", data: secretOf("answer to the proactive command")},
	{ins: 0xC2, name: "ENVELOPE", clause: "ETSI TS 102 221, 11.2.2", data: secretOf("message for the card's toolkit"), answer: secretOf("answer of the toolkit")},
	{ins: 0x88, name: "AUTHENTICATE", clause: "ETSI TS 102 221, 11.1.16", p2: anyValue("context"), data: secretOf("challenge"), answer: secretOf("answer, with keys")},
}

// find is the row that a command belongs to; nil if none.
func (x *exchange) find() *instruction {
	for i := range instructions {
		row := &instructions[i]
		if row.ins == x.command.INS && (row.when == nil || row.when(x)) {
			return row
		}
	}
	return nil
}

// succeeded tells whether the answer, or what waits of it, is one of success.
func (x *exchange) succeeded() bool {
	high := x.sw >> 8
	return x.sw.Succeeded() || high == 0x61 || high == 0x9F
}

// carriesData tells READ FILE from READ BINARY.
func carriesData(x *exchange) bool { return len(x.command.Data) > 0 }

// carriesPublicKey tells PUT PUBLIC KEY UPDATE from PUT KEY.
func carriesPublicKey(x *exchange) bool {
	if x.secured || x.ch.app.domain {
		return false
	}
	if x.ch.stream == (stream{x.command.INS, x.command.P2, true}) {
		return true
	}
	return len(x.command.Data) > 1 && x.command.Data[0] == 0x34 && (x.command.P1 == 0x00 || x.command.P1 == 0x80)
}

// proprietaryWithData tells GET STATUS from STATUS.
func proprietaryWithData(x *exchange) bool {
	return x.command.CLA&0x80 != 0 && (x.secured || len(x.command.Data) > 0)
}

// parameter says what P1 or P2 of a command means; "" if it means nothing.
type parameter func(c apdu.Command) string

func (p parameter) part(name string, value byte, c apdu.Command) Part {
	part := Part{Name: name, Hex: hexByte(value)}
	switch {
	case p != nil:
		part.Text = p(c)
		part.Unknown = part.Text == ""
	case value != 0:
		part.Text, part.Unknown = "should be 00", true
	}
	return part
}
