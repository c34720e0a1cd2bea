package iotsafe

import (
	"errors"
	"fmt"

	"github.com/simroot/simroot/apdu"
)

// Error is a refusal by the applet. It unwraps to its status word, so that
// errors.Is(err, apdu.ConditionsNot) works.
type Error struct {
	Op   string // what was asked for: "sign with", "read", …
	Kind Kind   // of the object it was asked of; 0 if of none
	ID   ID
	SW   apdu.SW
}

// Error says what was refused and which step is missing.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.subject(), e.SW.Error())
	if hint := e.hint(); hint != "" {
		text += ": " + hint
	}
	return text
}

// Unwrap gives the status word.
func (e *Error) Unwrap() error { return e.SW }

func (e *Error) subject() string {
	if e.Kind == 0 {
		return "iotsafe: " + e.Op
	}
	return fmt.Sprintf("iotsafe: %s %s %s", e.Op, e.Kind, e.ID)
}

// hint is what to do about a refusal.
func (e *Error) hint() string {
	switch e.SW {
	case apdu.ConditionsNot:
		return e.missing()
	case apdu.NotFound, apdu.ReferenceNotFound:
		if e.Kind != 0 {
			return "the SIM has no such container; it is made by personalisation"
		}
	case apdu.DataInvalidated:
		return "try again when it has ended"
	case apdu.RemoteAdminTouched:
		return "read its description again, then repeat the command"
	case apdu.SignatureMismatch:
		return "what was signed is not this, or not by this key"
	case apdu.NoSpace:
		return "the text is longer than the applet takes at once; its services say how long that is"
	case apdu.InstructionNot:
		return "this applet does not offer the command; its application information says what it does"
	case apdu.ChannelNotSupported:
		return "the card was reset or its channel closed; select the applet again"
	}
	return ""
}

// missing names the step without which the card answers 6985.
func (e *Error) missing() string {
	switch {
	case e.Op == opSign:
		return "the key is not generated, not activated, or not meant for signatures; provision the SIM first"
	case e.Op == opGenerate:
		return "both halves of the key pair must allow key generation, be in no session, and the public half be readable"
	case e.Op == opVerify:
		return "the key is empty, or not meant for this signature scheme; put a public key into the container first"
	case e.Op == opPut:
		return "the container may not be updated; use one whose access condition allows it"
	case e.Op == opAgree:
		return "the private key is not generated, the peer's public key is not put, or one of them is not meant for key agreement"
	case e.Op == opDerive:
		return "the secret is not put, not activated, or not meant for this derivation; provision the SIM first"
	case e.Op == opEncrypt, e.Op == opDecrypt:
		return "the key is not there yet, not activated, or not meant for this cipher; provision the SIM first"
	case e.Op == opDescribe, e.Kind == 0:
		return "the applet is blocked or being personalised; select it again, and if that does not help, ask the SIM's issuer"
	}
	return "it is empty, not activated, or not readable; provision the SIM first"
}

// refused is the error for a refusal of the operation that e describes.
func (e Error) refused(sw apdu.SW) error {
	e.SW = sw
	return &e
}

// failed is the error for an operation that got no proper answer.
func (e Error) failed(err error) error { return fmt.Errorf("%s: %w", e.subject(), err) }

// Operations that [Error.Op] names.
const (
	opInfo     = "ask for the application information"
	opList     = "list the objects"
	opDescribe = "describe"
	opRandom   = "get random bytes"
	opRead     = "read"
	opGenerate = "generate a key pair in"
	opSign     = "sign with"
	opVerify   = "verify with"
	opPut      = "put a public key into"
	opAgree    = "agree on a secret with"
	opDerive   = "derive from"
	opServices = "ask for the services beyond IoT.05"
	opHash     = "hash"
	opEncrypt  = "encipher with"
	opDecrypt  = "decipher with"
)

// Changed tells whether err says that remote administration is changing (6984) or has
// changed (6989) what a command was about, so that anything read from there before is
// out of date. See also [Applet.Generation].
func Changed(err error) bool {
	var sw apdu.SW
	return errors.As(err, &sw) && changed(sw) || errors.Is(err, ErrKeyChanged)
}

func changed(sw apdu.SW) bool { return sw == apdu.DataInvalidated || sw == apdu.RemoteAdminTouched }
