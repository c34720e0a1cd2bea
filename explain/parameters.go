package explain

import (
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

func hexByte(b byte) string { return fmt.Sprintf("%02X", b) }

// p1Is and p2Is read a parameter that is one of several.
func p1Is(meanings words) parameter {
	return func(c apdu.Command) string { return meanings[int(c.P1)] }
}

func p2Is(meanings words) parameter {
	return func(c apdu.Command) string { return meanings[int(c.P2)] }
}

// anyValue reads a parameter of which only the name is told.
func anyValue(name string) parameter {
	return func(apdu.Command) string { return name }
}

// Of the applet.
var (
	openOrClose = p1Is(words{0: "open the session", 1: "close the session"})
	lastOrMore  = p1Is(words{0x80: "the last or only part", 0: "more follows"})
	prfMode     = p1Is(words{
		0: "general: the secret is given",
		1: "PSK: premaster of RFC 4279 from a stored secret",
		2: "PSK with ECDHE: premaster of RFC 5489 from a stored secret",
	})
	describedWhat = p1Is(words{
		0: "of the application", 1: "list of objects",
		0xC1: "of one private key", 0xC2: "of one public key", 0xC3: "of one file", 0xC4: "of one secret",
		0xF0: "of simroot's own services",
	})
	firstOrNext = p2Is(words{0: "from the begin", 1: "next part"})
)

func sessionNumber(c apdu.Command) string { return fmt.Sprintf("session %d", c.P2) }

func offsetHigh(apdu.Command) string { return "offset, high byte" }

func offsetLow(c apdu.Command) string {
	return fmt.Sprintf("offset, low byte: from byte %d on", offset(c))
}

// offset is P1 and P2 as one number.
func offset(c apdu.Command) int { return int(c.P1)<<8 | int(c.P2) }

// Of the card.
var (
	selectBy     = p1Is(words{0: "by file identifier", 1: "child", 2: "elementary file", 3: "parent", 4: "by AID", 8: "by path from the MF", 9: "by path from here"})
	selectAnswer = p2Is(words{
		0x00: "first; answer with the control information", 0x04: "first; answer with the control parameters",
		0x0C: "first; no answer data", 0x02: "next; answer with the control information",
	})
	channelAction = p1Is(words{0x00: "open a channel", 0x80: "close a channel"})
	recordMode    = p2Is(words{2: "next record", 3: "previous record", 4: "this record of the current file"})
)

func channelNumber(c apdu.Command) string {
	switch {
	case c.P2 == 0 && c.P1 == 0:
		return "the card chooses its number"
	case c.P2 == 0:
		return "this channel"
	case int(c.P2) <= apdu.MaxChannel:
		return fmt.Sprintf("channel %d", c.P2)
	}
	return ""
}

func recordNumber(c apdu.Command) string { return fmt.Sprintf("record %d", c.P1) }

// Of security domains.
var (
	installFor = p1Is(words{
		0x02: "for load", 0x04: "for install", 0x08: "for make selectable", 0x0C: "for install and make selectable",
		0x10: "for extradition", 0x20: "for personalization", 0x40: "for registry update",
	})
	lastOrMoreDelete = p1Is(words{0: "the last or only command", 0x80: "more follows"})
	deleteRelated    = p2Is(words{0: "only the object", 0x80: "related objects too"})
	registryPart     = p1Is(words{
		0x80: "issuer security domain", 0x60: "application and security domain", 0x40: "applications and security domains",
		0x20: "load files", 0x10: "load files with modules", 0xC0: "security domain with its applications",
	})
	registryForm = p2Is(words{0: "first; old form", 1: "next; old form", 2: "first; as TLV", 3: "next; as TLV"})
	newLifeCycle = p2Is(lifeCycles)
)

var lifeCycles = words{
	0x01: "OP_READY, or LOADED", 0x03: "INSTALLED", 0x07: "SELECTABLE, or INITIALIZED", 0x0F: "PERSONALIZED, or SECURED",
	0x7F: "CARD_LOCKED", 0x80: "LOCKED", 0x83: "LOCKED", 0x87: "LOCKED", 0x8F: "LOCKED", 0xFF: "TERMINATED",
}

func lifeCycle(v []byte) string {
	if s := lifeCycles[number(v)]; s != "" {
		return s
	}
	return "of the application's own"
}

func keyVersion(c apdu.Command) string {
	if c.P1 == 0 {
		return "the first key set there is"
	}
	return fmt.Sprintf("key set %02X", c.P1)
}

func keyIdentifier(c apdu.Command) string { return fmt.Sprintf("key %d", c.P2) }

func replacedKey(c apdu.Command) string {
	if c.P1 == 0 {
		return "new key set"
	}
	return fmt.Sprintf("in place of key set %02X", c.P1)
}

func keyNumber(c apdu.Command) string {
	if c.P2&0x80 != 0 {
		return fmt.Sprintf("several keys, from number %d", c.P2&0x7F)
	}
	return fmt.Sprintf("key number %d", c.P2)
}

func blockNumber(c apdu.Command) string { return fmt.Sprintf("block %d", c.P2) }

func tagHigh(apdu.Command) string { return "tag, high byte" }

func tagLow(c apdu.Command) string {
	tag := tlv.Tag(offset(c))
	if f, known := domainFields[tag]; known {
		return fmt.Sprintf("tag, low byte: %02X %s", uint32(tag), f.name)
	}
	return fmt.Sprintf("tag, low byte: %02X", uint32(tag))
}

// storeForm reads P1 of STORE DATA (GPCS 2.3.1, 11.11.2.1).
func storeForm(c apdu.Command) string {
	form := words{0x00: "in a form of the application's own", 0x08: "as DGI", 0x10: "as BER-TLV"}[int(c.P1&0x18)]
	cipher := words{0x00: "", 0x20: ", enciphered as the application says", 0x60: ", enciphered"}
	secret, known := cipher[int(c.P1&0x60)]
	if form == "" || !known || c.P1&0x06 != 0 {
		return ""
	}
	text := "more blocks follow"
	if c.P1&0x80 != 0 {
		text = "the last block: it takes effect"
	}
	text += ", " + form + secret
	if c.P1&0x01 != 0 {
		text += ", an answer is wanted"
	}
	return text
}
