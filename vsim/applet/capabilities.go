package applet

import (
	"slices"

	"github.com/simroot/simroot/iotsafe"
)

// Capabilities are what a card offers of all that the applet can do. GET DATA tells of
// nothing else; an instruction that only serves what is missing answers 6D00, and an
// algorithm that is missing 6985. A nil pointer limits nothing.
type Capabilities struct {
	KeyTypes     []iotsafe.KeyType // that containers may have
	Functions    iotsafe.Function
	Hashes       iotsafe.Hash
	Signatures   iotsafe.SignatureAlgorithm
	KeyAgreement byte
	Derivations  iotsafe.Derivation
}

// limit leaves of the application information what the card offers.
func (c *Capabilities) limit(i iotsafe.Info) iotsafe.Info {
	if c == nil {
		return i
	}
	i.Functions &= c.Functions
	i.Hashes &= c.Hashes
	i.Signatures &= c.Signatures
	i.KeyAgreement &= c.KeyAgreement
	i.Derivations &= c.Derivations
	return i
}

// HasInstruction tells whether the card knows an instruction of IoT.05; of others it
// says nothing.
func (c *Capabilities) HasInstruction(ins byte) bool {
	if c == nil {
		return true
	}
	asymmetric := iotsafe.Signing | iotsafe.KeyAgreement
	switch ins {
	case 0x2A, 0x2B, 0x2C, 0x2D: // COMPUTE and VERIFY SIGNATURE
		return c.Functions&iotsafe.Signing != 0
	case 0xB9: // GENERATE KEY PAIR
		return c.Functions&iotsafe.KeyGeneration != 0
	case 0x24, 0xD8, 0xCD: // PUT and READ PUBLIC KEY
		return c.Functions&asymmetric != 0
	case 0x46: // COMPUTE DH
		return c.Functions&iotsafe.KeyAgreement != 0
	case 0x48: // COMPUTE PRF
		return c.Derivations&iotsafe.PRFSHA256 != 0
	case 0x4A: // COMPUTE HKDF
		return c.Derivations&iotsafe.HKDF != 0
	}
	return true
}

// HasHash tells whether the card has a hash algorithm.
func (c *Capabilities) HasHash(h iotsafe.Hash) bool { return c == nil || c.Hashes&h != 0 }

// HasSignature tells whether the card has a signature algorithm.
func (c *Capabilities) HasSignature(s iotsafe.SignatureAlgorithm) bool {
	return c == nil || c.Signatures&s != 0
}

// HasKeyType tells whether containers may be of a key type.
func (c *Capabilities) HasKeyType(t iotsafe.KeyType) bool {
	return c == nil || slices.Contains(c.KeyTypes, t)
}
