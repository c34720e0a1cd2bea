package iotsafe

import (
	"crypto"
	_ "crypto/sha256" // SHA-256
	_ "crypto/sha512" // SHA-384 and SHA-512
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/simroot/simroot/tlv"
)

// Sizes of the interface, in bytes.
const (
	MaxID    = 20 // an identifier has 1 to MaxID bytes
	MaxLabel = 60 // a label has 0 to MaxLabel bytes
)

// AIDs under which IoT SAFE applets are found in the field, in the order to try them.
var AIDs = [][]byte{
	{0xA0, 0x00, 0x00, 0x05, 0x59, 0x00, 0x10},                                                 // the GSMA's
	{0xA0, 0x00, 0x00, 0x02, 0x48, 0x04, 0x00},                                                 // older applets
	{0xA0, 0x00, 0x00, 0x00, 0x30, 0x53, 0xF1, 0x24, 0x01, 0x77, 0x01, 0x01, 0x49, 0x53, 0x41}, // Thales
}

// Kind is what an object is. Its value is the tag under which GET DATA describes it.
type Kind byte

// The kinds of objects.
const (
	PrivateKey Kind = 0xC1
	PublicKey  Kind = 0xC2
	File       Kind = 0xC3
	SecretKey  Kind = 0xC4
)

// Kinds lists all kinds in the order in which an object list carries them: readers in
// the field stop at any other.
var Kinds = []Kind{PrivateKey, PublicKey, SecretKey, File}

func (k Kind) known() bool { return slices.Contains(Kinds, k) }

// IDTag is the tag of the identifier of an object of this kind, in commands and answers.
func (k Kind) IDTag() byte {
	switch k {
	case PrivateKey:
		return 0x84
	case PublicKey:
		return 0x85
	case File:
		return 0x83
	default:
		return 0x86
	}
}

// LabelTag is the tag of the label of an object of this kind.
func (k Kind) LabelTag() byte {
	switch k {
	case PrivateKey:
		return 0x74
	case PublicKey:
		return 0x75
	case File:
		return 0x73
	default:
		return 0x76
	}
}

func (k Kind) String() string {
	switch k {
	case PrivateKey:
		return "private key"
	case PublicKey:
		return "public key"
	case File:
		return "file"
	case SecretKey:
		return "secret key"
	}
	return fmt.Sprintf("object kind %02X", byte(k))
}

// KindOfID is the kind whose identifiers carry the given tag (83 to 86).
func KindOfID(tag byte) (Kind, bool) {
	for _, k := range Kinds {
		if k.IDTag() == tag {
			return k, true
		}
	}
	return 0, false
}

// KindOfLabel is the kind whose labels carry the given tag (73 to 76).
func KindOfLabel(tag byte) (Kind, bool) {
	for _, k := range Kinds {
		if k.LabelTag() == tag {
			return k, true
		}
	}
	return 0, false
}

// ID is an identifier: 1 to 20 opaque bytes, held as a string so that it compares and
// serves as a map key. Identifiers are separate for each [Kind].
type ID string

// ParseID reads an identifier written in hexadecimal.
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("identifier %q is not hexadecimal: %w", s, err)
	}
	id := ID(b)
	return id, id.Check()
}

// Check tells whether the identifier has a length that the interface allows.
func (id ID) Check() error {
	if len(id) == 0 || len(id) > MaxID {
		return fmt.Errorf("an identifier of %d bytes: want 1 to %d", len(id), MaxID)
	}
	return nil
}

// String is the identifier in hexadecimal.
func (id ID) String() string { return fmt.Sprintf("%X", string(id)) }

// MarshalText writes the identifier in hexadecimal.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads an identifier written in hexadecimal.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Access is a mask of what a device may do with an object (tag 60).
type Access byte

// Access rights.
const (
	Readable   Access = 0x01
	Updateable Access = 0x02
)

// KeyType is the type of a key (tag 4B).
type KeyType byte

// Key types.
const (
	RSA2048               KeyType = 0x03
	P256Persistent        KeyType = 0x13
	P256Volatile          KeyType = 0x14
	BrainpoolP256Persist  KeyType = 0x23
	BrainpoolP256Volatile KeyType = 0x24
	HMACSecret            KeyType = 0xA0

	// simroot's own, far from what the GSMA (up to A0) and Thales (43, B0) have given out.
	AES128Secret KeyType = 0xF1
	AES256Secret KeyType = 0xF2
)

// Usage is the specific usage of a key (tag 4E) or of a file (tag 21).
type Usage byte

// Usages.
const (
	General                Usage = 0x01
	TLS12CertificateVerify Usage = 0x02 // of a key
	TLS13CertificateVerify Usage = 0x03 // of a key
	X509Certificate        Usage = 0x02 // of a file
)

// Function is a mask of what a key may be used for (tag 61), or of what the applet offers (tag 90).
type Function byte

// Cryptographic functions.
const (
	Signing       Function = 0x01 // make or verify signatures
	KeyGeneration Function = 0x02
	KeyAgreement  Function = 0x04
	KeyDerivation Function = 0x08

	// Encryption is simroot's own: the key enciphers and deciphers. It is told of keys
	// only; what the applet as a whole offers of it, [Services] tells.
	Encryption Function = 0x80
)

// Hash is a mask of hash algorithms (tag 91, two bytes), or one of them.
type Hash uint16

// Hash algorithms.
const (
	SHA256 Hash = 0x0001
	SHA384 Hash = 0x0002
	SHA512 Hash = 0x0004
)

// Func is the hash function in Go, or 0 if h is not exactly one that is known.
func (h Hash) Func() crypto.Hash {
	switch h {
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	}
	return 0
}

// SignatureAlgorithm is a mask of signature algorithms (tag 92), or one of them.
type SignatureAlgorithm byte

// Signature algorithms.
const (
	RSAPKCS1v15 SignatureAlgorithm = 0x01
	RSAPSS      SignatureAlgorithm = 0x02
	ECDSA       SignatureAlgorithm = 0x04
)

// ECKA is the only key agreement of the interface (tags 6F and 93): DL/ECKAS-DH1 of IEEE 1363.
const ECKA byte = 0x01

// Derivation is a mask of key derivations (tag 94).
type Derivation byte

// Key derivations.
const (
	PRFSHA256 Derivation = 0x01 // the PRF of TLS 1.2
	HKDF      Derivation = 0x02
)

// Mode says what a signature command is given (tag A1).
type Mode byte

// Operation modes.
const (
	FullText   Mode = 0x01
	LastBlock  Mode = 0x02
	PadAndSign Mode = 0x03
)

// Cipher is a mask of ciphers (tag A3), or one of them. These are simroot's own; see
// docs/applet.md.
type Cipher byte

// Ciphers. Those with AES are the ones of RFC 5116: a nonce of [NonceSize] bytes, a tag
// of [CipherTagSize].
const (
	AESGCM  Cipher = 0x01
	AESCCM  Cipher = 0x02
	RSAOAEP Cipher = 0x04 // the same hash for the label and for MGF1
)

// Sizes of what encryption adds in front and behind, in bytes.
const (
	NonceSize     = 12
	CipherTagSize = 16
)

// Tags of attributes and command fields (one byte each; see also [Kind]).
const (
	TagFileSize     byte = 0x20
	TagFileUsage    byte = 0x21
	TagSignature    byte = 0x33
	TagPublicKey    byte = 0x34
	TagState        byte = 0x4A
	TagKeyType      byte = 0x4B
	TagKeyUsage     byte = 0x4E
	TagAccess       byte = 0x60
	TagFunctions    byte = 0x61
	TagKeyAgreement byte = 0x6F
	TagHashes       byte = 0x91
	TagSignatures   byte = 0x92
	TagDerivations  byte = 0x94
	TagMode         byte = 0xA1
	TagLastBlock    byte = 0x9A
	TagFullText     byte = 0x9B
	TagIntermediate byte = 0x9C // state of the hash before the last block
	TagHashed       byte = 0x9D // bytes hashed before the last block
	TagDigest       byte = 0x9E
	TagSecret       byte = 0xD1
	TagSeed         byte = 0xD2 // label and seed
	TagLength       byte = 0xD3
	TagOtherSecret  byte = 0xD4
	TagSalt         byte = 0xD5

	TagCiphers    byte = 0xA3 // simroot's own
	TagAdditional byte = 0xD6 // simroot's own: additional data, or label of OAEP
)

// Object is one entry of the applet's store as GET DATA describes it. Fields that do not
// belong to the kind are zero.
type Object struct {
	Kind   Kind
	ID     ID
	Label  string
	Access Access

	// Active tells that the object is filled and activated (tag 4A); an inactive one
	// is empty, partly filled or switched off, and no command may use it.
	Active bool

	// Of keys.
	KeyType      KeyType
	Usage        Usage // also of files
	Functions    Function
	Signatures   SignatureAlgorithm
	Hashes       Hash
	KeyAgreement byte
	Derivations  Derivation // of secret keys

	// Size of a file's content, in bytes.
	Size int
}

// Check tells whether the object can exist on a card.
func (o Object) Check() error {
	if !o.Kind.known() {
		return fmt.Errorf("unknown %s", o.Kind)
	}
	if err := o.ID.Check(); err != nil {
		return fmt.Errorf("%s: %w", o.Kind, err)
	}
	if len(o.Label) > MaxLabel {
		return fmt.Errorf("%s %s: a label of %d bytes: want at most %d", o.Kind, o.ID, len(o.Label), MaxLabel)
	}
	if o.Size < 0 || o.Size > 0xFFFF {
		return fmt.Errorf("%s %s: a size of %d bytes: want 0 to 65535", o.Kind, o.ID, o.Size)
	}
	return nil
}

// Append adds the object's description to dst, wrapped in its kind's tag, with the
// attributes in the one order that all known readers take.
func (o Object) Append(dst []byte) []byte {
	var room [192]byte // for any label and identifier that Check allows
	return tlv.AppendSimple(dst, byte(o.Kind), o.appendAttributes(room[:0])...)
}

// Attributes is the description without its wrapper.
func (o Object) Attributes() []byte { return o.appendAttributes(nil) }

func (o Object) appendAttributes(b []byte) []byte {
	if o.Label != "" {
		b = tlv.AppendSimple(b, o.Kind.LabelTag(), []byte(o.Label)...)
	}
	b = tlv.AppendSimple(b, o.Kind.IDTag(), []byte(o.ID)...)
	b = tlv.AppendSimple(b, TagAccess, byte(o.Access))
	state := byte(0)
	if o.Active {
		state = 1
	}
	b = tlv.AppendSimple(b, TagState, state)
	switch o.Kind {
	case File:
		b = tlv.AppendSimple(b, TagFileSize, byte(o.Size>>8), byte(o.Size))
		b = tlv.AppendSimple(b, TagFileUsage, byte(o.Usage))
	case SecretKey:
		b = tlv.AppendSimple(b, TagKeyType, byte(o.KeyType))
		b = tlv.AppendSimple(b, TagFunctions, byte(o.Functions))
		if o.Derivations != 0 {
			b = tlv.AppendSimple(b, TagDerivations, byte(o.Derivations))
		}
	default:
		b = tlv.AppendSimple(b, TagKeyType, byte(o.KeyType))
		b = tlv.AppendSimple(b, TagKeyUsage, byte(o.Usage))
		b = tlv.AppendSimple(b, TagFunctions, byte(o.Functions))
		if o.Signatures != 0 {
			b = tlv.AppendSimple(b, TagSignatures, byte(o.Signatures))
		}
		if o.Hashes != 0 {
			b = tlv.AppendSimple(b, TagHashes, byte(o.Hashes>>8), byte(o.Hashes))
		}
		if o.KeyAgreement != 0 {
			b = tlv.AppendSimple(b, TagKeyAgreement, o.KeyAgreement)
		}
	}
	return b
}

// ParseObject reads the description of an object of the given kind, with or without its
// wrapper, attributes in any order, unknown ones skipped.
func ParseObject(kind Kind, b []byte) (Object, error) {
	if len(b) > 0 && b[0] == byte(kind) {
		inner, rest, err := tlv.NextSimple(b)
		if err != nil {
			return Object{}, err
		}
		if len(rest) > 0 {
			return Object{}, fmt.Errorf("iotsafe: %d bytes behind the description of a %s", len(rest), kind)
		}
		b = inner.Value
	}
	attributes, err := tlv.ParseSimple(b)
	if err != nil {
		return Object{}, fmt.Errorf("iotsafe: description of a %s: %w", kind, err)
	}
	o := object(kind, attributes)
	return o, o.Check()
}

// object puts the attributes of one object together.
func object(kind Kind, attributes []tlv.Object) Object {
	o := Object{Kind: kind}
	for _, a := range attributes {
		v, tag := a.Value, byte(a.Tag)
		switch tag {
		case kind.IDTag():
			o.ID = ID(v)
		case kind.LabelTag():
			o.Label = string(v)
		case TagAccess:
			o.Access = Access(number(v))
		case TagState:
			o.Active = number(v) == 1
		case TagKeyType:
			o.KeyType = KeyType(number(v))
		case TagKeyUsage, TagFileUsage:
			o.Usage = Usage(number(v))
		case TagFunctions:
			o.Functions = Function(number(v))
		case TagSignatures:
			o.Signatures = SignatureAlgorithm(number(v))
		case TagHashes:
			o.Hashes = Hash(number(v))
		case TagKeyAgreement:
			o.KeyAgreement = byte(number(v))
		case TagDerivations:
			o.Derivations = Derivation(number(v))
		case TagFileSize:
			o.Size = number(v)
		}
	}
	return o
}

// number reads a big-endian value of a few bytes; what does not fit is cut to its low bits.
func number(v []byte) int {
	n := 0
	for _, b := range v {
		n = (n<<8 | int(b)) & 0xFFFF
	}
	return n
}
