package explain

import (
	"bytes"
	"fmt"

	"github.com/simroot/simroot/apdu"
)

// advice is what a status word means after a command, and what to do next.
type advice struct {
	sw      apdu.SW
	ins     []byte // after these instructions; nil: after any
	meaning string // "": what package apdu says
	next    string
}

// advices are searched from the begin: what holds after some instructions stands before
// what holds after all (IoT SAFE 3.18; ISO/IEC 7816-4, 5.6).
var advices = []advice{
	{apdu.AuthenticationFailed, []byte{0x82}, "the host's cryptogram is wrong", "use the keys of this very SIM; after too many failures the key set is blocked"},
	{apdu.MoreData, []byte{0xCB}, "done; the list goes on", "repeat GET DATA with P2 = 01 until 9000"},
	{apdu.MoreData, []byte{0x84}, "done, with a warning", "some applets answer so; the bytes count"},
	{apdu.MoreData, nil, "a warning: more data, or authentication failed", ""},
	{apdu.RemoteAdminDone, nil, "", "read the object list and certificates again: they may have changed"},
	{0x6310, nil, "done; more entries follow", "repeat the command with P2 = 03"},
	{0x6283, nil, "done, but what was selected is locked", "unlock it with SET STATUS"},

	{apdu.StoreDamaged, nil, "", "the SIM needs to be personalised again, or replaced"},
	{apdu.MemoryFailure, nil, "", "try again; if it persists the SIM is worn out"},
	{apdu.WrongLength, nil, "", "check Lc against the fields; some cards refuse an Le on a command with data, or want one"},
	{apdu.ChannelNotSupported, nil, "", "open the channel with MANAGE CHANNEL, then SELECT again"},
	{apdu.SecureMessagingNot, nil, "", "clear bits 3 and 4 of the class byte"},
	{apdu.Incompatible, []byte{0xB0}, "the offset is beyond the end, or what is selected is not such a file", "stop reading at the size that GET DATA tells"},
	{apdu.SecurityNotSatisfied, []byte{0x82, 0xE2, 0xE6, 0xD8, 0xE4, 0xF0}, "not authorised, or a wrong MAC", "any wrong MAC ends the session: begin again with INITIALIZE UPDATE"},
	{apdu.SecurityNotSatisfied, nil, "", "verify the PIN, or open a secure channel"},
	{apdu.Blocked, nil, "", "only the issuer can unblock it"},
	{apdu.DataInvalidated, nil, "", "wait until the remote administration has ended, then repeat"},
	{apdu.ConditionsNot, []byte{0x2B, 0x2D}, "", "there must be a session of this number that INIT opened, the text must have the form of its mode, and the key must allow what is asked"},
	{apdu.ConditionsNot, []byte{0x2A, 0x2C}, "", "the key must be filled and activated, and allow this mode, hash and signature"},
	{apdu.ConditionsNot, []byte{0x46}, "", "put the peer's public key first (PUT PUBLIC KEY); both keys must allow key agreement"},
	{apdu.ConditionsNot, []byte{0xB9}, "", "both halves must exist with the same label, allow key generation and be in no session, and the public one be readable"},
	{apdu.ConditionsNot, []byte{0x24, 0xD8}, "", "the public key must allow update, and UPDATE needs a session that INIT opened"},
	{apdu.ConditionsNot, []byte{0x48, 0x4A}, "", "the secret must be filled and activated, and allow this derivation"},
	{apdu.ConditionsNot, []byte{0xB0, 0xCD}, "", "the object must be activated and readable; GET DATA tells"},
	{apdu.ConditionsNot, []byte{0xE2}, "", "send INSTALL [for personalization] first; an empty object cannot be activated"},
	{apdu.ConditionsNot, []byte{0xC0}, "nothing waits", "send the command first; any other command in between drops what waits"},
	{apdu.ConditionsNot, nil, "", "a step before this command is missing"},
	{apdu.RemoteAdminTouched, nil, "", "read the object again and repeat; close sessions that are left open"},

	{apdu.WrongData, nil, "", "check the fields: one is missing, malformed or of another command"},
	{apdu.FunctionNotSupported, []byte{0x70}, "no channel is free", "close channels left open (MANAGE CHANNEL with P1 = 80)"},
	{apdu.FunctionNotSupported, nil, "", "the card does not do this; GET DATA tells what the applet can"},
	{apdu.NotFound, []byte{0xA4}, "there is no such application or file", "try the other AIDs; the SIM may carry no IoT SAFE applet: send it no applet commands then"},
	{apdu.NotFound, nil, "", "the object does not exist; GET DATA lists those that do"},
	{apdu.RecordNotFound, nil, "", "stop reading"},
	{apdu.NoSpace, nil, "", "delete what is not needed, or make the container larger"},
	{apdu.WrongP1P2, []byte{0xB0}, "the offset is beyond the end", "stop reading at the size that GET DATA tells"},
	{apdu.WrongP1P2, []byte{0xE2}, "a wrong block number or form", "begin again with INSTALL [for personalization]; blocks count from 00"},
	{apdu.WrongP1P2, nil, "", "check P1 and P2"},
	{apdu.ReferenceNotFound, nil, "", "the object, key set, application or data object named is not there"},
	{apdu.WrongOffset, nil, "", "write where the file ends, or from 0"},
	{apdu.InstructionNot, nil, "", "no applet is selected on this channel, or it does not offer the command; GET DATA tells what it can"},
	{apdu.SignatureMismatch, nil, "", "the signature, the digest or the public key is another than the signer's"},
	{apdu.ClassNot, nil, "", "try the other class: 8n is specified, some applets take only 0n"},
	{apdu.Unknown, nil, "", "the card's log, if there is one, may know more"},
	{0x6999, nil, "the application cannot be selected", "it is locked, or refuses to be selected now"},
	{0x9300, nil, "the toolkit is busy", "try again later"},
	{0x9484, nil, "algorithm not supported", ""},
	{0x9485, nil, "wrong key check value", "the key was not stored; check the key-encryption key"},
}

// status is the meaning of the answer's status word, and what to do next.
func (x *exchange) status() (meaning, next string) {
	for _, a := range advices {
		if a.sw == x.sw && (a.ins == nil || bytes.IndexByte(a.ins, x.command.INS) >= 0 && x.row != nil) {
			if a.meaning == "" {
				return x.sw.Meaning(), a.next
			}
			return a.meaning, a.next
		}
	}
	switch low := byte(x.sw); x.sw >> 8 {
	case 0x61, 0x9F:
		n := int(low)
		if n == 0 {
			n = apdu.MaxLe
		}
		return count(n) + " wait", fmt.Sprintf("fetch them with GET RESPONSE, Le = %02X", low)
	case 0x6C:
		return x.sw.Meaning(), fmt.Sprintf("repeat the command with Le = %02X", low)
	case 0x91:
		return x.sw.Meaning(), fmt.Sprintf("fetch the proactive command with FETCH, Le = %02X", low)
	case 0x62:
		return "done, with a warning", ""
	case 0x63:
		if low&0xF0 == 0xC0 {
			return fmt.Sprintf("refused; %d tries are left", low&0x0F), ""
		}
		return "done, with a warning", ""
	}
	if meaning := x.sw.Meaning(); meaning != "" {
		return meaning, ""
	}
	switch x.sw >> 12 {
	case 0x6:
		return "refused, for a reason that is not known", ""
	case 0x9:
		return "of the card's own", ""
	}
	return "", "" // no card answers so
}
