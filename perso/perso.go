// Package perso is simroot's personalisation language: what may be done to the store of
// an IoT SAFE applet from outside the device.
//
// A script is a list of operations ([Op]). [Commands] packs it into STORE DATA commands
// (GlobalPlatform Card Specification 2.3.1, 11.11), which travel behind
// [InstallForPersonalization] in a secure channel with the SIM's security domain. Each
// block carries whole operations as BER-TLV; [Parse] reads them on the card.
//
// A sequence of blocks is a transaction. The card carries out each operation on a copy
// of its store; the last block puts the copy in the place of the store, at once and
// durably, and before its answer leaves. Anything that ends the sequence earlier (a
// refused block, a SELECT, loss of power) leaves the store as it was.
//
// # Operations
//
//	E1  CREATE      an object description as in GET DATA (IoT.05): C1, C2, C3 or C4 template
//	E2  DELETE      identifier
//	E3  WRITE       83 file, 80 offset (2 bytes), 81 bytes
//	E4  PUT SECRET  86 secret, 87 secret under the session's key-encryption key, 88 check value (3 bytes)
//	E5  GENERATE    84 private key, 85 public key, 89 challenge (32 bytes)
//	E6  PROVE       84 private key or 86 secret, 89 challenge (32 bytes)
//	E7  ACTIVATE    one or more identifiers
//	E8  DEACTIVATE  one or more identifiers
//	E9  READ STATE  80 index of the first object (1 byte), or one or more identifiers
//
// Identifiers carry the tags of IoT.05: 83 file, 84 private key, 85 public key, 86
// secret. GENERATE, PROVE and READ STATE answer, in the response to their own block,
// with a template of the same tag; see [Answer].
//
// # Refusals
//
// A block that cannot be carried out answers one of these, and the sequence has ended:
//
//	6581  the store could not be made durable (last block)
//	6985  no sequence is under way; a container exists with another description; an
//	      empty object was to be activated or proved
//	6A80  the block or a secret's check value is wrong, a type of key is not supported, or
//	      the answers do not fit
//	6A81  a Type II applet does not keep such objects
//	6A84  the store is full, or a file's capacity is too small
//	6A86  the block has a wrong number (P2) or form (P1)
//	6A88  an object is not there
//	6B00  the offset of WRITE is not where the file ends
//
// The package carries no key and encrypts nothing: secrets come to it sealed.
package perso

import (
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// Sizes, in bytes.
const (
	// MaxBlock is the most plain data in one block: under SCP03 with S8 MACs and
	// C-ENC, 239 bytes pad to 240 and the MAC makes 248.
	MaxBlock = 239

	// MaxAnswer is the most plain data in one answer, for the same reason.
	MaxAnswer = 239

	// ChallengeSize is the size of the challenges of GENERATE and PROVE.
	ChallengeSize = 32

	// CheckSize is the size of a secret's check value.
	CheckSize = 3

	// MaxSecret is the largest secret that PUT SECRET carries.
	MaxSecret = 64
)

// Tags of operations and their answers.
const (
	tagCreate     tlv.Tag = 0xE1
	tagDelete     tlv.Tag = 0xE2
	tagWrite      tlv.Tag = 0xE3
	tagPutSecret  tlv.Tag = 0xE4
	tagGenerate   tlv.Tag = 0xE5
	tagProve      tlv.Tag = 0xE6
	tagActivate   tlv.Tag = 0xE7
	tagDeactivate tlv.Tag = 0xE8
	tagReadState  tlv.Tag = 0xE9

	tagOffset    tlv.Tag = 0x80 // of WRITE; index of READ STATE
	tagBytes     tlv.Tag = 0x81
	tagEncrypted tlv.Tag = 0x87
	tagCheck     tlv.Tag = 0x88
	tagChallenge tlv.Tag = 0x89
	tagProof     tlv.Tag = 0x8A
	tagDigest    tlv.Tag = 0x8B
)

// Ref names one object of the store.
type Ref struct {
	Kind iotsafe.Kind
	ID   iotsafe.ID
}

func (r Ref) String() string { return fmt.Sprintf("%s %s", r.Kind, r.ID) }

func (r Ref) append(dst []byte) []byte {
	return tlv.Append(dst, tlv.Tag(r.Kind.IDTag()), []byte(r.ID)...)
}

// Op is one operation: one of the types below.
type Op interface {
	encode() []byte
	// Touches lists the objects that the operation changes.
	Touches() []Ref
}

// Create makes a container. The object's Active is ignored (a new container is
// inactive) and Size is the capacity of a file. A container that is already there with the same description
// is left as it is.
type Create struct{ Object iotsafe.Object }

// Delete removes a container with what it holds. One that is not there is no error.
type Delete struct{ Ref Ref }

// Write puts bytes into a file, which becomes inactive. Offset 0 empties it first; any
// other offset must be where the content ends.
type Write struct {
	File   iotsafe.ID
	Offset int
	Bytes  []byte
}

// PutSecret replaces the value of a secret key, which becomes inactive. Encrypted is the
// secret, padded and enciphered under the session's key-encryption key; Check is its
// [SecretCheck].
type PutSecret struct {
	ID        iotsafe.ID
	Encrypted []byte
	Check     [CheckSize]byte
}

// Generate makes a new key pair in place of the old one; both halves become inactive.
// The answer is a [KeyAnswer].
type Generate struct {
	Private, Public iotsafe.ID
	Challenge       [ChallengeSize]byte
}

// Prove shows that the card holds a key, active or not. The answer is a [ProofAnswer].
type Prove struct {
	Ref       Ref
	Challenge [ChallengeSize]byte
}

// Activate lets the device use objects, which must be filled.
type Activate struct{ Refs []Ref }

// Deactivate takes objects from the device and keeps their content.
type Deactivate struct{ Refs []Ref }

// ReadState asks what the store holds: the objects named in Refs (those that are not
// there are left out), or, without Refs, all from the given index on, as many as fit.
// The answer is a [StateAnswer].
type ReadState struct {
	Refs  []Ref
	Index int
}

func (o Create) encode() []byte {
	object := o.Object
	object.Active = false
	return tlv.Append(nil, tagCreate, object.Append(nil)...)
}
func (o Delete) encode() []byte { return tlv.Append(nil, tagDelete, o.Ref.append(nil)...) }
func (o Write) encode() []byte {
	b := Ref{iotsafe.File, o.File}.append(nil)
	b = tlv.Append(b, tagOffset, byte(o.Offset>>8), byte(o.Offset))
	b = tlv.Append(b, tagBytes, o.Bytes...)
	return tlv.Append(nil, tagWrite, b...)
}
func (o PutSecret) encode() []byte {
	b := Ref{iotsafe.SecretKey, o.ID}.append(nil)
	b = tlv.Append(b, tagEncrypted, o.Encrypted...)
	b = tlv.Append(b, tagCheck, o.Check[:]...)
	return tlv.Append(nil, tagPutSecret, b...)
}
func (o Generate) encode() []byte {
	b := Ref{iotsafe.PrivateKey, o.Private}.append(nil)
	b = Ref{iotsafe.PublicKey, o.Public}.append(b)
	b = tlv.Append(b, tagChallenge, o.Challenge[:]...)
	return tlv.Append(nil, tagGenerate, b...)
}
func (o Prove) encode() []byte {
	b := o.Ref.append(nil)
	b = tlv.Append(b, tagChallenge, o.Challenge[:]...)
	return tlv.Append(nil, tagProve, b...)
}
func (o Activate) encode() []byte { return tlv.Append(nil, tagActivate, appendRefs(nil, o.Refs)...) }
func (o Deactivate) encode() []byte {
	return tlv.Append(nil, tagDeactivate, appendRefs(nil, o.Refs)...)
}
func (o ReadState) encode() []byte {
	if len(o.Refs) > 0 {
		return tlv.Append(nil, tagReadState, appendRefs(nil, o.Refs)...)
	}
	return tlv.Append(nil, tagReadState, tlv.Append(nil, tagOffset, byte(o.Index))...)
}

func appendRefs(dst []byte, refs []Ref) []byte {
	for _, r := range refs {
		dst = r.append(dst)
	}
	return dst
}

// Touches implements [Op].
func (o Create) Touches() []Ref { return []Ref{{o.Object.Kind, o.Object.ID}} }

// Touches implements [Op].
func (o Delete) Touches() []Ref { return []Ref{o.Ref} }

// Touches implements [Op].
func (o Write) Touches() []Ref { return []Ref{{iotsafe.File, o.File}} }

// Touches implements [Op].
func (o PutSecret) Touches() []Ref { return []Ref{{iotsafe.SecretKey, o.ID}} }

// Touches implements [Op].
func (o Generate) Touches() []Ref {
	return []Ref{{iotsafe.PrivateKey, o.Private}, {iotsafe.PublicKey, o.Public}}
}

// Touches implements [Op].
func (o Prove) Touches() []Ref { return nil }

// Touches implements [Op].
func (o Activate) Touches() []Ref { return o.Refs }

// Touches implements [Op].
func (o Deactivate) Touches() []Ref { return o.Refs }

// Touches implements [Op].
func (o ReadState) Touches() []Ref { return nil }

// WriteFile splits content into the Write operations that carry it.
func WriteFile(file iotsafe.ID, content []byte) []Op {
	room := MaxBlock - len(Write{File: file}.encode()) - 3 // three more length bytes at most
	var ops []Op
	for offset := 0; offset == 0 || offset < len(content); offset += room {
		end := min(offset+room, len(content))
		ops = append(ops, Write{File: file, Offset: offset, Bytes: content[offset:end]})
	}
	return ops
}

// InstallForPersonalization is the command that makes the security domain pass the
// STORE DATA blocks that follow to the applet with the given AID (GPCS 2.3.1, 11.5.2.3.6).
func InstallForPersonalization(aid []byte) apdu.Command {
	data := append([]byte{0, 0, byte(len(aid))}, aid...)
	return apdu.Command{CLA: 0x80, INS: 0xE6, P1: 0x20, Data: append(data, 0, 0, 0), Le: apdu.MaxLe}
}

// insStoreData is STORE DATA.
const insStoreData = 0xE2

// Bits of STORE DATA's P1 (GPCS 2.3.1, 11.11.2.1). A block of this package has BERTLV,
// and no other bit than these.
const (
	LastBlock   byte = 0x80 // the card commits
	BERTLV      byte = 0x10 // the form of the data
	WantAnswers byte = 0x01 // the response may carry data
)

// Commands packs a script into the fewest STORE DATA commands, the last of which makes
// the card commit. An operation is never split.
func Commands(script ...Op) ([]apdu.Command, error) { return Staged(script, nil) }

// Staged is [Commands] for a script in two parts: the last command carries all of commit
// and nothing else, so that a caller can hold it back until its own records are safe.
func Staged(prepare, commit []Op) ([]apdu.Command, error) {
	blocks, err := pack(prepare)
	if err != nil {
		return nil, err
	}
	last, err := pack(commit)
	if err != nil {
		return nil, err
	}
	if len(last) > 1 {
		return nil, fmt.Errorf("perso: the committing operations need %d blocks: want one", len(last))
	}
	blocks = append(blocks, last...)
	if len(blocks) == 0 || len(blocks) > 256 {
		return nil, fmt.Errorf("perso: a script of %d blocks: want 1 to 256", len(blocks))
	}
	commands := make([]apdu.Command, len(blocks))
	for i, b := range blocks {
		commands[i] = apdu.Command{CLA: 0x80, INS: insStoreData, P1: BERTLV | WantAnswers, P2: byte(i), Data: b, Le: apdu.MaxLe}
	}
	commands[len(commands)-1].P1 |= LastBlock
	return commands, nil
}

// pack fills blocks with whole operations, in order, so that also the answers to a block
// fit one response.
func pack(script []Op) ([][]byte, error) {
	var blocks [][]byte
	answer := 0 // size of the answers to the last block, at most
	for _, op := range script {
		b, a := op.encode(), answerSize(op)
		if len(b) > MaxBlock {
			return nil, fmt.Errorf("perso: an operation of %d bytes (%T): a block holds %d", len(b), op, MaxBlock)
		}
		if a > MaxAnswer {
			return nil, fmt.Errorf("perso: the answer to an operation (%T) may have %d bytes: a response holds %d; ask for fewer objects at once", op, a, MaxAnswer)
		}
		if n := len(blocks); n > 0 && len(blocks[n-1])+len(b) <= MaxBlock && answer+a <= MaxAnswer {
			blocks[n-1] = append(blocks[n-1], b...)
			answer += a
		} else {
			blocks, answer = append(blocks, b), a
		}
	}
	return blocks, nil
}
