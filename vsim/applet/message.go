package applet

import (
	"encoding"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// Sizes, in bytes.
const (
	minDigest    = 32
	maxDigest    = 64
	maxLastBlock = 128

	// maxJoined bounds what the UPDATEs of a session may carry together, where it is
	// not a text: the most is needed for a last block and an RSA signature.
	maxJoined = 640
)

// message is what a session signs or verifies: it takes the data of UPDATEs and becomes a
// digest. signature is what came with it under tag 33, if one was wanted.
type message interface {
	add(data []byte, last bool) apdu.SW
	digest() (digest, signature []byte, sw apdu.SW)
}

// newMessage is an empty message of the given mode. wanted tells that a signature comes
// with it.
func newMessage(p scheme, usage iotsafe.Usage, wanted bool) message {
	if p.mode == iotsafe.FullText {
		return &fullText{hash: p.hash.Func().New(), usage: usage, wanted: wanted}
	}
	return &joined{mode: p.mode, hash: p.hash, wanted: wanted}
}

// fullText is a message of mode 01: a text of any length, hashed as it comes.
type fullText struct {
	text   text
	hash   hash.Hash
	usage  iotsafe.Usage
	wanted bool

	head []byte // the first bytes of the text, as far as the usage wants to see them
	tail []byte // tag 33, as far as it has come
}

func (m *fullText) add(data []byte, last bool) apdu.SW {
	if len(m.tail) > 0 { // behind the signature's beginning comes only the rest of it
		return m.end(data)
	}
	part, rest, ok := m.text.take(data, m.wanted, last)
	if !ok {
		return apdu.WrongData
	}
	if n := maxOpening - len(m.head); n > 0 && m.usage != iotsafe.General {
		m.head = append(m.head, part[:min(n, len(part))]...)
	}
	m.hash.Write(part)
	return m.end(rest)
}

func (m *fullText) end(rest []byte) apdu.SW {
	if len(m.tail)+len(rest) > maxJoined {
		return apdu.WrongData
	}
	m.tail = append(m.tail, rest...)
	return apdu.OK
}

func (m *fullText) digest() ([]byte, []byte, apdu.SW) {
	if !m.text.ended() {
		return nil, nil, apdu.WrongData
	}
	if !opens(m.usage, m.head) {
		return nil, nil, apdu.ConditionsNot
	}
	f, ok := readJoined(m.tail)
	signature, present := f.take(iotsafe.TagSignature)
	if !ok || present != m.wanted || !f.empty() {
		return nil, nil, apdu.WrongData
	}
	return m.hash.Sum(nil), signature, apdu.OK
}

// joined is a message of mode 02 or 03: the fields of all UPDATEs, one after the other.
type joined struct {
	mode   iotsafe.Mode
	hash   iotsafe.Hash
	wanted bool
	data   []byte
}

func (m *joined) add(data []byte, last bool) apdu.SW {
	switch {
	case len(m.data)+len(data) > maxJoined:
		return apdu.WrongData
	case last && len(m.data) == 0:
		m.data = data // the usual case: all in one UPDATE
	default:
		m.data = append(m.data, data...)
	}
	return apdu.OK
}

func (m *joined) digest() (digest, signature []byte, sw apdu.SW) {
	f, ok := readJoined(m.data)
	if !ok {
		return nil, nil, apdu.WrongData
	}
	signature, present := f.take(iotsafe.TagSignature)
	if m.mode == iotsafe.LastBlock {
		digest, ok = lastBlock(m.hash, &f)
	} else {
		digest, ok = f.take(iotsafe.TagDigest)
		ok = ok && len(digest) >= minDigest && len(digest) <= maxDigest
	}
	if !ok || present != m.wanted || !f.empty() {
		return nil, nil, apdu.WrongData
	}
	return digest, signature, apdu.OK
}

// readJoined reads fields of one-byte lengths, but for tag 33, which may have two: a
// length that begins with 00, or with 01 and 256 more bytes behind it. A signature may come
// in several fields.
func readJoined(data []byte) (f fields, ok bool) {
	for len(data) > 0 {
		part, rest, ok := nextJoined(data)
		if !ok || f.n == maxFields {
			return fields{}, false
		}
		if i := f.find(byte(part.Tag)); i >= 0 {
			if byte(part.Tag) != iotsafe.TagSignature {
				return fields{}, false
			}
			f.parts[i].Value = slices.Concat(f.parts[i].Value, part.Value)
		} else {
			f.parts[f.n] = part
			f.n++
		}
		data = rest
	}
	return f, true
}

func nextJoined(b []byte) (part tlv.Object, rest []byte, ok bool) {
	if len(b) < 2 {
		return part, nil, false
	}
	tag, length, head := b[0], int(b[1]), 2
	if tag == iotsafe.TagSignature && len(b) >= 3 && (b[1] == 0x00 || b[1] == 0x01 && len(b) >= 3+256) {
		length, head = length<<8|int(b[2]), 3
	}
	if head+length > len(b) {
		return part, nil, false
	}
	return tlv.Object{Tag: tlv.Tag(tag), Value: b[head : head+length]}, b[head+length:], true
}

// lastBlock finishes a hash (mode 02) from its intermediate state (9C) after a number of
// bytes (9D), whole blocks of the hash, with what is left of the text (9A).
func lastBlock(h iotsafe.Hash, f *fields) ([]byte, bool) {
	block, has9A := f.take(iotsafe.TagLastBlock)
	state, has9C := f.take(iotsafe.TagIntermediate)
	hashed, has9D := f.take(iotsafe.TagHashed)
	if !has9A || !has9C || !has9D || len(block) > maxLastBlock || len(hashed) != 4 {
		return nil, false
	}
	n := binary.BigEndian.Uint32(hashed)
	fresh := h.Func().New()
	if len(state) != stateSize(h) || int(n)%fresh.BlockSize() != 0 {
		return nil, false
	}
	// The marshaled form of a hash in Go is a constant, the state, a block under way and
	// the number of bytes (8 bytes): that of a fresh one has the right constant.
	marshaled, err := fresh.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, false
	}
	copy(marshaled[magicSize:], state)
	binary.BigEndian.PutUint64(marshaled[len(marshaled)-8:], uint64(n))
	if err := fresh.(encoding.BinaryUnmarshaler).UnmarshalBinary(marshaled); err != nil {
		return nil, false
	}
	fresh.Write(block)
	return fresh.Sum(nil), true
}

// magicSize is the size of the constant in front of a marshaled hash.
const magicSize = 4

// stateSize is the size of a hash's intermediate state.
func stateSize(h iotsafe.Hash) int {
	if h == iotsafe.SHA256 {
		return 32
	}
	return 64
}
