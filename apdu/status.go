package apdu

import "fmt"

// SW is a status word (ISO/IEC 7816-4, 5.1.3). It is an error value, so that what a card
// refused can be told with errors.Is(err, apdu.NotFound). Success is not an error: use
// [SW.Err], which is nil for it.
type SW uint16

// Status words with a meaning of their own.
const (
	OK                   SW = 0x9000
	MoreData             SW = 0x6300 // a list goes on: ask for the next part
	RemoteAdminDone      SW = 0x63CF // done, and a remote administration session has ended since
	MemoryFailure        SW = 0x6581
	StoreDamaged         SW = 0x6400
	WrongLength          SW = 0x6700
	ChannelNotSupported  SW = 0x6881
	SecureMessagingNot   SW = 0x6882
	Incompatible         SW = 0x6981
	SecurityNotSatisfied SW = 0x6982
	Blocked              SW = 0x6983
	DataInvalidated      SW = 0x6984 // remote administration is under way
	ConditionsNot        SW = 0x6985
	RemoteAdminTouched   SW = 0x6989 // remote administration has touched the object, or no session is free
	WrongData            SW = 0x6A80
	FunctionNotSupported SW = 0x6A81
	NotFound             SW = 0x6A82
	RecordNotFound       SW = 0x6A83
	NoSpace              SW = 0x6A84
	WrongP1P2            SW = 0x6A86
	ReferenceNotFound    SW = 0x6A88
	WrongOffset          SW = 0x6B00
	WrongLe              SW = 0x6C00 // low byte: the right Le
	InstructionNot       SW = 0x6D00
	SignatureMismatch    SW = 0x6D01
	ClassNot             SW = 0x6E00
	Unknown              SW = 0x6F00
	AuthenticationFailed SW = 0x6300 // answer to EXTERNAL AUTHENTICATE
)

var words = map[SW]string{
	OK:                   "done",
	MoreData:             "more data, or authentication failed",
	RemoteAdminDone:      "done; a remote administration session has ended since the last command",
	StoreDamaged:         "the card's store is damaged",
	MemoryFailure:        "the card could not write its memory",
	WrongLength:          "wrong length",
	ChannelNotSupported:  "logical channel not supported or not open",
	SecureMessagingNot:   "secure messaging not supported",
	Incompatible:         "command does not fit the file",
	SecurityNotSatisfied: "not authorised",
	Blocked:              "authentication is blocked",
	DataInvalidated:      "remote administration is under way on this object",
	ConditionsNot:        "conditions of use not satisfied",
	RemoteAdminTouched:   "remote administration has touched this object, or no session is free",
	WrongData:            "incorrect data",
	FunctionNotSupported: "function not supported",
	NotFound:             "not found",
	RecordNotFound:       "record not found",
	NoSpace:              "no space left",
	WrongP1P2:            "incorrect P1 P2",
	ReferenceNotFound:    "referenced data not found",
	WrongOffset:          "offset outside the file",
	InstructionNot:       "instruction not supported",
	SignatureMismatch:    "signature does not match",
	ClassNot:             "class not supported",
	Unknown:              "unspecified error",
}

// Error gives the code and its meaning.
func (s SW) Error() string {
	if meaning := s.Meaning(); meaning != "" {
		return fmt.Sprintf("card answered %04X: %s", uint16(s), meaning)
	}
	return fmt.Sprintf("card answered %04X", uint16(s))
}

// Meaning says in words what a status word means, "" if it is none that the package knows.
func (s SW) Meaning() string {
	if text, ok := words[s]; ok {
		return text
	}
	switch s >> 8 {
	case 0x61, 0x9F:
		return "more data waits"
	case 0x6C:
		return fmt.Sprintf("wrong Le, %d is right", expected(byte(s)))
	case 0x91:
		return "done, a proactive command waits"
	}
	return ""
}

// Succeeded tells whether the command was carried out: 9000, 91xx (a proactive command
// waits, ETSI TS 102 221, 10.2.1.1) or 63CF (remote administration has ended, GSMA IoT.05).
func (s SW) Succeeded() bool { return s == OK || s>>8 == 0x91 || s == RemoteAdminDone }

// Processed tells whether the command was carried out at all: normally, or with a warning
// (62xx and 63xx, ISO/IEC 7816-4, 5.1.3). A secure channel protects these answers
// and no others.
func (s SW) Processed() bool { return s.Succeeded() || s>>8 == 0x62 || s>>8 == 0x63 }

// Err is nil if the command was carried out, and the status word itself otherwise.
func (s SW) Err() error {
	if s.Succeeded() {
		return nil
	}
	return s
}
