package applet

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// Limits of the store.
const (
	// MaxObjects is the most objects that a store holds, of all kinds together.
	MaxObjects = 32

	// MaxBytes is the room for contents: the capacities of files, and for each key
	// what its kind needs at most.
	MaxBytes = 16 << 10
)

// State is what the applet keeps across power cycles. Its JSON form holds private keys
// and secrets in clear: only the card's own image may receive it.
type State struct {
	// Type is 1 (asymmetric keys, and secrets besides) or 2 (secrets and files only).
	Type int

	// Identifier is the applet's proprietary identifier (tag 11), drawn at random.
	Identifier [32]byte

	// AIDs are the names under which it is selected; none: all of [iotsafe.AIDs].
	AIDs [][]byte `json:",omitempty"`

	// SignatureLength is the form of tag 33 in answers.
	SignatureLength SignatureLength `json:",omitempty"`

	Objects []Container

	// Capabilities limit the applet to what the card below it can do. They belong to
	// the card, which says so anew at each start, and are not kept.
	Capabilities *Capabilities `json:"-"`
}

// SignatureLength says how many bytes the length of a signature has (tag 33).
type SignatureLength byte

// The forms of tag 33 that cards in the field have, and clients want.
const (
	AutoLength    SignatureLength = 0 // one byte for the interindustry class, else two: right for all known clients
	OneByteLength SignatureLength = 1
	TwoByteLength SignatureLength = 2
)

// Container is one object of the store.
type Container struct {
	// Object describes it; Size is the capacity of a file, in bytes.
	Object iotsafe.Object

	// Content is the bytes of a file, the scalar of a private key (32 bytes), the
	// uncompressed point of a public key (65 bytes), the PKCS#1 form of an RSA key, the
	// value of a secret. An empty Content means that the container is not filled.
	//
	// It is never changed in place, so that copies of a State may share it.
	Content []byte

	// Padded makes a file look filled to its capacity: zeros follow its content. Some
	// clients read a fixed number of bytes and fail where a file ends.
	Padded bool
}

// NewState makes the state of a new applet of the given type (1 or 2) with empty,
// inactive containers, as a personalisation profile lists them. Size is the capacity of a
// file.
func NewState(typ int, objects ...iotsafe.Object) (State, error) {
	if typ != 1 && typ != 2 {
		return State{}, fmt.Errorf("an applet of type %d: want 1 or 2", typ)
	}
	s := State{Type: typ}
	rand.Read(s.Identifier[:])
	for _, o := range objects {
		if s.find(perso.Ref{Kind: o.Kind, ID: o.ID}) != nil {
			return State{}, fmt.Errorf("%s %s is listed twice", o.Kind, o.ID)
		}
		if err := o.Check(); err != nil {
			return State{}, err
		}
		switch sw := s.create(o); sw {
		case apdu.OK:
		case apdu.NoSpace:
			return State{}, fmt.Errorf("%s %s: the store is full: it holds %d objects and %d bytes", o.Kind, o.ID, MaxObjects, MaxBytes)
		default:
			return State{}, fmt.Errorf("%s %s: an applet of type %d does not keep such an object", o.Kind, o.ID, typ)
		}
	}
	return s, nil
}

// clone copies the state; contents are shared, since nobody changes them in place.
func (s State) clone() State {
	s.Objects = slices.Clone(s.Objects)
	return s
}

// persistent is a copy of the state that shares nothing with it, without the keys that
// live only until power is lost.
func (s State) persistent() State {
	s = s.clone()
	s.forgetVolatile()
	for i := range s.Objects {
		s.Objects[i].Content = slices.Clone(s.Objects[i].Content)
	}
	return s
}

// forgetVolatile empties the volatile key pairs.
func (s *State) forgetVolatile() {
	for i, c := range s.Objects {
		if c.volatile() {
			s.Objects[i].Content, s.Objects[i].Object.Active = nil, false
		}
	}
}

// Entry tells of one container what anybody may know.
type Entry struct {
	// Object describes it; Size is that of a file's content, in bytes.
	Object iotsafe.Object

	// Capacity is the most that a file can hold, in bytes.
	Capacity int

	// Filled tells that the container has content, active or not.
	Filled bool
}

// Entries lists the store without any content.
func (s State) Entries() []Entry {
	entries := make([]Entry, len(s.Objects))
	for i := range s.Objects {
		c := &s.Objects[i]
		entries[i] = Entry{Object: c.describe(), Filled: c.filled()}
		if c.Object.Kind == iotsafe.File {
			entries[i].Capacity = c.Object.Size
		}
	}
	return entries
}

// find returns the container that ref names, nil if there is none.
func (s *State) find(ref perso.Ref) *Container {
	for i := range s.Objects {
		if s.Objects[i].ref() == ref {
			return &s.Objects[i]
		}
	}
	return nil
}

func (c *Container) ref() perso.Ref { return perso.Ref{Kind: c.Object.Kind, ID: c.Object.ID} }

func (c *Container) filled() bool { return len(c.Content) > 0 }

// volatile tells that the content does not outlive a reset.
func (c *Container) volatile() bool {
	return isVolatile(c.Object.KeyType) &&
		(c.Object.Kind == iotsafe.PrivateKey || c.Object.Kind == iotsafe.PublicKey)
}

// describe is the object as GET DATA shows it: the size of a file is that of its content,
// and its capacity if it is padded.
func (c *Container) describe() iotsafe.Object {
	o := c.Object
	if o.Kind == iotsafe.File && (!c.Padded || !c.filled()) {
		o.Size = len(c.Content)
	}
	return o
}

// readable is what READ FILE shows of a file.
func (c *Container) readable() []byte {
	if !c.Padded || len(c.Content) == 0 || len(c.Content) >= c.Object.Size {
		return c.Content
	}
	return append(slices.Clip(c.Content), make([]byte, c.Object.Size-len(c.Content))...)
}

// room is how much of [MaxBytes] an object takes.
func room(o iotsafe.Object) int {
	switch o.Kind {
	case iotsafe.File:
		return o.Size
	case iotsafe.PrivateKey, iotsafe.PublicKey:
		return keyRoom(o)
	}
	return perso.MaxSecret
}

func keyRoom(o iotsafe.Object) int {
	private := o.Kind == iotsafe.PrivateKey
	switch {
	case o.KeyType == iotsafe.RSA2048 && private:
		return rsaPrivateSize
	case o.KeyType == iotsafe.RSA2048:
		return rsaPublicSize
	case private:
		return scalarSize
	}
	return pointSize
}

// String lists the store without a byte of any content.
func (s State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "IoT SAFE applet, type %d, identifier %X, %d of %d objects", s.Type, s.Identifier, len(s.Objects), MaxObjects)
	for _, c := range s.Objects {
		b.WriteString("\n  ")
		b.WriteString(c.String())
	}
	return b.String()
}

// GoString is String: %#v must not show contents either.
func (s State) GoString() string { return s.String() }

// String describes the container without a byte of its content.
func (c Container) String() string {
	text := c.ref().String()
	if c.Object.Label != "" {
		text += fmt.Sprintf(" %q", c.Object.Label)
	}
	switch {
	case !c.filled():
		text += ", empty"
	case c.Object.Active:
		text += ", active"
	default:
		text += ", filled but inactive"
	}
	if c.Object.Kind == iotsafe.File {
		text += fmt.Sprintf(", %d of %d bytes", len(c.Content), c.Object.Size)
	}
	return text
}

// GoString is String: %#v must not show the content either.
func (c Container) GoString() string { return c.String() }

// storedContainer is the JSON form of a [Container]. The description travels as the
// bytes of IoT.05, because a label need not be text.
type storedContainer struct {
	Description []byte `json:"description"`
	Content     []byte `json:"content,omitempty"`
	Padded      bool   `json:"padded,omitempty"`
}

// MarshalJSON writes the container, with its content, for the card's image.
func (c Container) MarshalJSON() ([]byte, error) {
	return json.Marshal(storedContainer{Description: c.Object.Append(nil), Content: c.Content, Padded: c.Padded})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Container) UnmarshalJSON(b []byte) error {
	var stored storedContainer
	if err := json.Unmarshal(b, &stored); err != nil {
		return err
	}
	if len(stored.Description) == 0 {
		return fmt.Errorf("a container without a description")
	}
	o, err := iotsafe.ParseObject(iotsafe.Kind(stored.Description[0]), stored.Description)
	if err != nil {
		return err
	}
	*c = Container{Object: o, Content: stored.Content, Padded: stored.Padded}
	return nil
}
