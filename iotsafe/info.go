package iotsafe

import (
	"fmt"
	"slices"

	"github.com/simroot/simroot/tlv"
)

// Tags of the application information.
const (
	tagVersion        byte = 0x10
	tagIdentifier     byte = 0x11
	tagMaxFiles       byte = 0xB1
	tagMaxPrivateKeys byte = 0xB2
	tagMaxPublicKeys  byte = 0xB3
	tagMaxSecretKeys  byte = 0xB4
	tagMaxSessions    byte = 0xB7
	tagAppFunctions   byte = 0x90
	tagAppAgreement   byte = 0x93
)

// Info is what the applet says of itself (GET DATA, P1 = 00).
type Info struct {
	Version    byte
	Identifier [32]byte

	MaxFiles, MaxPrivateKeys, MaxPublicKeys, MaxSecretKeys, MaxSessions int

	Functions    Function
	Hashes       Hash
	Signatures   SignatureAlgorithm
	KeyAgreement byte
	Derivations  Derivation
}

// TypeII tells that the applet works with pre-shared keys only.
func (i Info) TypeII() bool { return i.MaxPrivateKeys == 0 }

// Append adds the encoding of 68 bytes to dst.
func (i Info) Append(dst []byte) []byte {
	dst = tlv.AppendSimple(dst, tagVersion, i.Version)
	dst = tlv.AppendSimple(dst, tagIdentifier, i.Identifier[:]...)
	dst = tlv.AppendSimple(dst, tagMaxFiles, byte(i.MaxFiles))
	dst = tlv.AppendSimple(dst, tagMaxPrivateKeys, byte(i.MaxPrivateKeys))
	dst = tlv.AppendSimple(dst, tagMaxPublicKeys, byte(i.MaxPublicKeys))
	dst = tlv.AppendSimple(dst, tagMaxSecretKeys, byte(i.MaxSecretKeys))
	dst = tlv.AppendSimple(dst, tagAppFunctions, byte(i.Functions))
	dst = tlv.AppendSimple(dst, TagHashes, byte(i.Hashes>>8), byte(i.Hashes))
	dst = tlv.AppendSimple(dst, TagSignatures, byte(i.Signatures))
	dst = tlv.AppendSimple(dst, tagAppAgreement, i.KeyAgreement)
	dst = tlv.AppendSimple(dst, TagDerivations, byte(i.Derivations))
	return tlv.AppendSimple(dst, tagMaxSessions, byte(i.MaxSessions))
}

// identifierRecounted is application information whose identifier is one byte shorter than its
// length says. An applet for which Orange's library was made answers so.
func identifierRecounted(b []byte) []byte {
	const at = 4 // behind the version of one byte and the identifier's tag
	if len(b) <= at || b[at-1] != tagIdentifier || b[at] == 0 {
		return b
	}
	b = slices.Clone(b)
	b[at]--
	return b
}

// ParseInfo reads application information; unknown and missing parts are passed over.
func ParseInfo(b []byte) (Info, error) {
	parts, err := tlv.ParseSimple(b)
	if err != nil {
		var again error
		if parts, again = tlv.ParseSimple(identifierRecounted(b)); again != nil {
			return Info{}, fmt.Errorf("iotsafe: application information: %w", err)
		}
	}
	var i Info
	for _, p := range parts {
		v := p.Value
		switch byte(p.Tag) {
		case tagVersion:
			i.Version = byte(number(v))
		case tagIdentifier:
			copy(i.Identifier[:], v)
		case tagMaxFiles:
			i.MaxFiles = number(v)
		case tagMaxPrivateKeys:
			i.MaxPrivateKeys = number(v)
		case tagMaxPublicKeys:
			i.MaxPublicKeys = number(v)
		case tagMaxSecretKeys:
			i.MaxSecretKeys = number(v)
		case tagMaxSessions:
			i.MaxSessions = number(v)
		case tagAppFunctions:
			i.Functions = Function(number(v))
		case TagHashes:
			i.Hashes = Hash(number(v))
		case TagSignatures:
			i.Signatures = SignatureAlgorithm(number(v))
		case tagAppAgreement:
			i.KeyAgreement = byte(number(v))
		case TagDerivations:
			i.Derivations = Derivation(number(v))
		}
	}
	return i, nil
}
