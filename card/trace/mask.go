package trace

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// rule says what of an instruction may be written down. The zero value hides the data of
// the command and of the answer.
type rule struct {
	command func(data []byte) []span // what to hide in the data; nil hides all
	answer  bool                     // the answer has no secret, if the command has none
}

// span is a part of some data, from one position to before another.
type span struct{ from, to int }

// open tells that nothing is to be hidden.
func open([]byte) []span { return nil }

// rules are the instructions that are known to have something to show, by instruction byte
// alone: IoT SAFE commands come in class 0n and 8n. Where a byte means two commands, the
// data tell them apart.
var rules = map[byte]rule{
	0xA4: {open, true},                     // SELECT
	0x70: {open, true},                     // MANAGE CHANNEL
	0xF2: {open, true},                     // STATUS, GET STATUS
	0xCA: {open, true},                     // GET DATA
	0xCB: {open, true},                     // GET DATA (IoT SAFE)
	0xCD: {open, true},                     // READ PUBLIC KEY
	0xB9: {open, true},                     // GENERATE KEY PAIR
	0x50: {open, true},                     // INITIALIZE UPDATE: challenges and a cryptogram
	0x82: {open, true},                     // EXTERNAL AUTHENTICATE: a cryptogram and a MAC
	0x2B: {open, true},                     // COMPUTE SIGNATURE UPDATE
	0x2D: {open, true},                     // VERIFY SIGNATURE UPDATE
	0x2A: {named, true},                    // COMPUTE SIGNATURE INIT, or PERFORM SECURITY OPERATION
	0x2C: {named, true},                    // VERIFY SIGNATURE INIT, or UNBLOCK PIN
	0x24: {named, true},                    // PUT PUBLIC KEY INIT, or CHANGE PIN
	0xD8: {publicKey, true},                // PUT PUBLIC KEY UPDATE, or PUT KEY
	0x84: {open, false},                    // GET RANDOM, GET CHALLENGE
	0x46: {named, false},                   // COMPUTE DH
	0x48: {allBut(tagSecret, tagZ), false}, // COMPUTE PRF
	0x4A: {allBut(tagSecret, tagZ), false}, // COMPUTE HKDF
}

// Instructions that need to be looked at.
const (
	insSelect       = 0xA4
	insGetResponse  = 0xC0
	insReadBinary   = 0xB0
	insAuthenticate = 0x82 // EXTERNAL AUTHENTICATE
)

// Tags of IoT SAFE commands.
const (
	tagSecret    = 0xD1
	tagZ         = 0xD4
	tagPublicKey = 0x34
)

// names are the tags of what an INIT command says: objects by identifier or label, mode,
// hash and algorithm.
var names = []byte{0x73, 0x74, 0x75, 0x76, 0x83, 0x84, 0x85, 0x86, 0xA1, 0x91, 0x92}

// named hides everything unless it consists of names only. The digits of a PIN do not.
func named(data []byte) []span {
	objects, err := tlv.ParseSimple(data)
	if err != nil {
		return everything(data)
	}
	for _, o := range objects {
		if bytes.IndexByte(names, byte(o.Tag)) < 0 {
			return everything(data)
		}
	}
	return nil
}

// publicKey hides everything but public key data. PUT KEY begins with a key version, which
// may look like its tag, but does not go on like it.
func publicKey(data []byte) []span {
	if o, rest, err := tlv.NextSimple(data); err != nil || o.Tag != tagPublicKey || len(rest) > 0 {
		return everything(data)
	}
	return nil
}

// allBut hides the values of some tags.
func allBut(hidden ...byte) func([]byte) []span {
	return func(data []byte) []span {
		var spans []span
		for at := 0; at < len(data); {
			o, rest, err := tlv.NextSimple(data[at:])
			if err != nil {
				return everything(data)
			}
			end := len(data) - len(rest)
			if bytes.IndexByte(hidden, byte(o.Tag)) >= 0 {
				spans = append(spans, span{end - len(o.Value), end})
			}
			at = end
		}
		return spans
	}
}

func everything(data []byte) []span { return []span{{0, len(data)}} }

// masker knows what of a session may be written down. It follows the session, because an
// answer may have to be fetched, and what a file holds depends on which was selected.
type masker struct {
	channels [apdu.MaxChannel + 1]channelState
}

type channelState struct {
	answer bool // the last command's answer may be shown
	file   bool // the file that was selected last may be shown
	level  byte // of the SCP03 session, 0 if there is none
	opens  byte // level of the session that the last command opens, if the card agrees
}

// shortFile in P1 of READ BINARY names a file that was not selected before.
const shortFile = 0x80

// Parts of a security level (GlobalPlatform Amendment D, 7.1.2.1).
const (
	encipheredCommands = 0x02
	encipheredAnswers  = 0x20
)

// publicFiles may be shown: EF.ICCID, EF.DIR. Others hold keys of the network, numbers, messages.
var publicFiles = [][]byte{{0x2F, 0xE2}, {0x2F, 0x00}}

// command follows a command and returns what to hide of it, counted from its beginning.
func (m *masker) command(b []byte) []span {
	if len(b) < 4 {
		return nil
	}
	c, err := apdu.Parse(b)
	ch := &m.channels[apdu.ChannelOf(b[0])%len(m.channels)]
	if err != nil {
		ch.answer = false
		return []span{{4, len(b)}}
	}
	if c.INS == insGetResponse {
		return nil // its answer is that of the command before
	}
	var hide []span
	switch r := rules[c.INS]; {
	case apdu.Secured(c.CLA) && c.INS != insAuthenticate:
		ch.answer = ch.level&encipheredAnswers != 0
		if ch.level&encipheredCommands == 0 {
			hide = everything(c.Data)
		}
	case c.INS == insReadBinary && len(c.Data) == 0:
		ch.answer = ch.file && c.P1&shortFile == 0
	case c.INS == insReadBinary: // READ FILE of IoT SAFE: certificates
		hide, ch.answer = named(c.Data), true
	case r.command == nil:
		hide, ch.answer = everything(c.Data), false
	default:
		hide = r.command(c.Data)
		ch.answer = r.answer && hide == nil
	}
	ch.opens = 0
	switch c.INS {
	case insSelect:
		ch.level = 0
		ch.file = false
		for _, file := range publicFiles {
			ch.file = ch.file || (c.P1 == 0 || c.P1 == 8) && bytes.HasSuffix(c.Data, file)
		}
	case insAuthenticate:
		if apdu.Secured(c.CLA) {
			ch.opens = c.P1
		}
	}
	const header = 5 // with Lc
	for i := range hide {
		hide[i].from, hide[i].to = hide[i].from+header, hide[i].to+header
	}
	return hide
}

// answer returns what to hide of the answer to the command that was followed last.
func (m *masker) answer(command, b []byte) []span {
	if len(b) < 2 || len(command) < 4 {
		return nil
	}
	ch := &m.channels[apdu.ChannelOf(command[0])%len(m.channels)]
	if ch.opens != 0 && b[len(b)-2] == 0x90 {
		ch.level = ch.opens
	}
	if len(b) == 2 || ch.answer {
		return nil
	}
	return []span{{0, len(b) - 2}}
}
