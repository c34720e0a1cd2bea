package perso

import (
	"crypto/sha256"
	"fmt"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// DigestSize is the size of the digest in a [State], in bytes.
const DigestSize = 16

// Answer is what an operation returns: one of the types below.
type Answer interface{ encode() []byte }

// KeyAnswer is the answer to [Generate]: public key data (tag 34 of IoT.05) and the
// signature r‖s (64 bytes) of [ProofDigest] under the new private key.
type KeyAnswer struct {
	PublicKey []byte
	Proof     []byte
}

// ProofAnswer is the answer to [Prove]: the signature r‖s of [ProofDigest] for a private
// key, [SecretProof] for a secret.
type ProofAnswer struct{ Proof []byte }

// StateAnswer is the answer to [ReadState]. Total is the number of objects in the store.
type StateAnswer struct {
	Total   int
	Objects []State
}

// State is what one object holds.
type State struct {
	Ref    Ref
	Active bool
	Size   int // of a file's content, in bytes

	// Digest tells contents apart: see [Digest]; of a secret, the first bytes of its
	// [SecretProof] for a challenge of zeros. All zero when the object is empty.
	Digest [DigestSize]byte
}

// Filled tells whether the object has content.
func (s State) Filled() bool { return s.Digest != [DigestSize]byte{} }

// Digest is the digest of a file's content, or of an uncompressed public point for both
// halves of a key pair: the first bytes of its SHA-256.
func Digest(content []byte) [DigestSize]byte {
	sum := sha256.Sum256(content)
	return [DigestSize]byte(sum[:DigestSize])
}

func (a KeyAnswer) encode() []byte {
	b := append([]byte(nil), a.PublicKey...)
	return tlv.Append(nil, tagGenerate, tlv.Append(b, tagProof, a.Proof...)...)
}

func (a ProofAnswer) encode() []byte {
	return tlv.Append(nil, tagProve, tlv.Append(nil, tagProof, a.Proof...)...)
}

func (a StateAnswer) encode() []byte {
	b := tlv.Append(nil, tagOffset, byte(a.Total))
	for _, s := range a.Objects {
		b = append(b, s.encode()...)
	}
	return tlv.Append(nil, tagReadState, b...)
}

func (s State) encode() []byte {
	b := s.Ref.append(nil)
	active := byte(0)
	if s.Active {
		active = 1
	}
	b = tlv.Append(b, tlv.Tag(iotsafe.TagState), active)
	if s.Ref.Kind == iotsafe.File {
		b = tlv.Append(b, tlv.Tag(iotsafe.TagFileSize), byte(s.Size>>8), byte(s.Size))
	}
	if s.Filled() {
		b = tlv.Append(b, tagDigest, s.Digest[:]...)
	}
	return tlv.Append(nil, tlv.Tag(s.Ref.Kind), b...)
}

// EncodeAnswers is the response data of a block: the answers of its operations in order.
// It fails if they do not fit one response.
func EncodeAnswers(answers ...Answer) ([]byte, error) {
	var b []byte
	for _, a := range answers {
		b = append(b, a.encode()...)
	}
	if len(b) > MaxAnswer {
		return nil, fmt.Errorf("perso: %d bytes of answers: a response holds %d", len(b), MaxAnswer)
	}
	return b, nil
}

// Fit cuts the list of objects to what one response can carry.
func (a StateAnswer) Fit() StateAnswer {
	for len(a.Objects) > 0 && len(a.encode()) > MaxAnswer {
		a.Objects = a.Objects[:len(a.Objects)-1]
	}
	return a
}

// answerSize is the size that the answer to an operation may have at most.
func answerSize(op Op) int {
	switch op := op.(type) {
	case Generate:
		return len(KeyAnswer{PublicKey: make([]byte, publicKeySize), Proof: make([]byte, proofSize)}.encode())
	case Prove:
		return len(ProofAnswer{Proof: make([]byte, proofSize)}.encode())
	case ReadState:
		if len(op.Refs) == 0 {
			return MaxAnswer // the card fills what room there is
		}
		a := StateAnswer{Objects: make([]State, len(op.Refs))}
		for i, ref := range op.Refs {
			a.Objects[i] = State{Ref: ref, Digest: [DigestSize]byte{1}}
		}
		return len(a.encode())
	}
	return 0
}

// Sizes of the parts of answers for P-256, in bytes.
const (
	publicKeySize = 71 // public key data, tag and length included
	proofSize     = 64 // a signature; an HMAC is shorter
)

// ParseAnswers reads the response data of a block.
func ParseAnswers(b []byte) ([]Answer, error) {
	objects, err := tlv.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("perso: answer: %w", err)
	}
	answers := make([]Answer, len(objects))
	for i, o := range objects {
		if answers[i], err = parseAnswer(o); err != nil {
			return nil, fmt.Errorf("perso: answer %d (%X): %w", i+1, uint32(o.Tag), err)
		}
	}
	return answers, nil
}

func parseAnswer(o tlv.Object) (Answer, error) {
	parts, err := tlv.Parse(o.Value)
	if err != nil {
		return nil, err
	}
	r := reader{parts: parts}
	var a Answer
	switch o.Tag {
	case tagGenerate:
		point := r.value(tlv.Tag(iotsafe.TagPublicKey), 1, 255)
		a = KeyAnswer{
			PublicKey: tlv.Append(nil, tlv.Tag(iotsafe.TagPublicKey), point...),
			Proof:     r.value(tagProof, 1, 128),
		}
	case tagProve:
		a = ProofAnswer{Proof: r.value(tagProof, 1, 128)}
	case tagReadState:
		total := r.value(tagOffset, 1, 1)
		if r.err != nil {
			return nil, r.err
		}
		state := StateAnswer{Total: int(total[0])}
		for _, p := range r.parts {
			s, err := parseState(p)
			if err != nil {
				return nil, err
			}
			state.Objects = append(state.Objects, s)
		}
		r.parts, a = nil, state
	default:
		return nil, fmt.Errorf("unknown answer")
	}
	if r.err == nil && len(r.parts) > 0 {
		r.err = fmt.Errorf("element %X does not belong here", uint32(r.parts[0].Tag))
	}
	return a, r.err
}

func parseState(o tlv.Object) (State, error) {
	if o.Tag > 0xFF {
		return State{}, fmt.Errorf("element %X is no object", uint32(o.Tag))
	}
	parts, err := tlv.Parse(o.Value)
	if err != nil {
		return State{}, err
	}
	r := reader{parts: parts}
	s := State{Ref: r.ref()}
	if r.err == nil && s.Ref.Kind != iotsafe.Kind(o.Tag) {
		r.err = fmt.Errorf("%s inside %X", s.Ref, uint32(o.Tag))
	}
	if v := r.value(tlv.Tag(iotsafe.TagState), 1, 1); r.err == nil {
		s.Active = v[0] == 1
	}
	if r.err == nil && s.Ref.Kind == iotsafe.File {
		if v := r.value(tlv.Tag(iotsafe.TagFileSize), 2, 2); r.err == nil {
			s.Size = int(v[0])<<8 | int(v[1])
		}
	}
	if r.err == nil && len(r.parts) > 0 {
		copy(s.Digest[:], r.value(tagDigest, DigestSize, DigestSize))
	}
	if r.err == nil && len(r.parts) > 0 {
		r.err = fmt.Errorf("element %X does not belong here", uint32(r.parts[0].Tag))
	}
	return s, r.err
}
