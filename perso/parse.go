package perso

import (
	"bytes"
	"fmt"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// Parse reads the operations of one block. It accepts exactly what this package writes:
// an unknown, missing, doubled or oversized element refuses the whole block.
func Parse(block []byte) ([]Op, error) {
	if len(block) == 0 || len(block) > MaxBlock {
		return nil, fmt.Errorf("perso: a block of %d bytes: want 1 to %d", len(block), MaxBlock)
	}
	objects, err := tlv.Parse(block)
	if err != nil {
		return nil, fmt.Errorf("perso: %w", err)
	}
	ops := make([]Op, len(objects))
	for i, o := range objects {
		if ops[i], err = parseOp(o); err != nil {
			return nil, fmt.Errorf("perso: operation %d (%X): %w", i+1, uint32(o.Tag), err)
		}
	}
	return ops, nil
}

func parseOp(o tlv.Object) (Op, error) {
	if o.Tag == tagCreate {
		return parseCreate(o.Value)
	}
	parts, err := tlv.Parse(o.Value)
	if err != nil {
		return nil, err
	}
	r := reader{parts: parts}
	var op Op
	switch o.Tag {
	case tagDelete:
		op = Delete{Ref: r.ref()}
	case tagWrite:
		w := Write{File: r.id(iotsafe.File)}
		offset := r.value(tagOffset, 2, 2)
		w.Bytes = r.value(tagBytes, 0, MaxBlock)
		if r.err == nil {
			w.Offset = int(offset[0])<<8 | int(offset[1])
		}
		op = w
	case tagPutSecret:
		p := PutSecret{ID: r.id(iotsafe.SecretKey), Encrypted: r.value(tagEncrypted, 16, MaxSecret+16)}
		copy(p.Check[:], r.value(tagCheck, CheckSize, CheckSize))
		op = p
	case tagGenerate:
		g := Generate{Private: r.id(iotsafe.PrivateKey), Public: r.id(iotsafe.PublicKey)}
		copy(g.Challenge[:], r.value(tagChallenge, ChallengeSize, ChallengeSize))
		op = g
	case tagProve:
		p := Prove{Ref: r.ref()}
		copy(p.Challenge[:], r.value(tagChallenge, ChallengeSize, ChallengeSize))
		op = p
	case tagActivate:
		op = Activate{Refs: r.refs()}
	case tagDeactivate:
		op = Deactivate{Refs: r.refs()}
	case tagReadState:
		if len(parts) == 1 && parts[0].Tag == tagOffset {
			if index := r.value(tagOffset, 1, 1); r.err == nil {
				op = ReadState{Index: int(index[0])}
			}
		} else {
			op = ReadState{Refs: r.refs()}
		}
	default:
		return nil, fmt.Errorf("unknown operation")
	}
	if r.err == nil && len(r.parts) > 0 {
		r.err = fmt.Errorf("element %X does not belong here", uint32(r.parts[0].Tag))
	}
	return op, r.err
}

func parseCreate(b []byte) (Op, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("an object description is missing")
	}
	object, err := iotsafe.ParseObject(iotsafe.Kind(b[0]), b)
	if err != nil {
		return nil, err
	}
	// IoT.05's reader is lenient; this language is not.
	if object.Active || !bytes.Equal(object.Append(nil), b) {
		return nil, fmt.Errorf("want one object description, inactive and with its attributes in order")
	}
	return Create{Object: object}, nil
}

// reader takes elements in their fixed order and remembers the first fault.
type reader struct {
	parts []tlv.Object
	err   error
}

func (r *reader) value(tag tlv.Tag, min, max int) []byte {
	if r.err != nil {
		return nil
	}
	if len(r.parts) == 0 || r.parts[0].Tag != tag {
		r.err = fmt.Errorf("element %X is missing", uint32(tag))
		return nil
	}
	v := r.parts[0].Value
	if len(v) < min || len(v) > max {
		r.err = fmt.Errorf("element %X has %d bytes: want %d to %d", uint32(tag), len(v), min, max)
		return nil
	}
	r.parts = r.parts[1:]
	return v
}

func (r *reader) id(kind iotsafe.Kind) iotsafe.ID {
	return iotsafe.ID(r.value(tlv.Tag(kind.IDTag()), 1, iotsafe.MaxID))
}

func (r *reader) ref() Ref {
	if r.err != nil {
		return Ref{}
	}
	if len(r.parts) == 0 {
		r.err = fmt.Errorf("an identifier is missing")
		return Ref{}
	}
	tag := r.parts[0].Tag
	if tag > 0xFF {
		r.err = fmt.Errorf("element %X is no identifier", uint32(tag))
		return Ref{}
	}
	kind, ok := iotsafe.KindOfID(byte(tag))
	if !ok {
		r.err = fmt.Errorf("element %X is no identifier", uint32(tag))
		return Ref{}
	}
	return Ref{Kind: kind, ID: r.id(kind)}
}

func (r *reader) refs() []Ref {
	out := []Ref{r.ref()}
	for r.err == nil && len(r.parts) > 0 {
		out = append(out, r.ref())
	}
	return out
}
