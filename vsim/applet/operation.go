package applet

import (
	"crypto"
	"crypto/subtle"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// run carries out one operation on the copy. The answer is nil if the operation has none.
func (t *transaction) run(op perso.Op) (perso.Answer, apdu.SW) {
	switch op := op.(type) {
	case perso.Create:
		return nil, t.state.create(op.Object)
	case perso.Delete:
		t.state.delete(op.Ref)
		return nil, apdu.OK
	case perso.Write:
		return nil, t.write(op)
	case perso.PutSecret:
		return nil, t.putSecret(op)
	case perso.Generate:
		return t.generate(op)
	case perso.Prove:
		return t.prove(op)
	case perso.Activate:
		return nil, t.activate(op.Refs, true)
	case perso.Deactivate:
		return nil, t.activate(op.Refs, false)
	case perso.ReadState:
		return t.readState(op)
	}
	return nil, apdu.FunctionNotSupported
}

// create adds an empty container, unless one with the same description is there.
func (s *State) create(o iotsafe.Object) apdu.SW {
	if o.Check() != nil {
		return apdu.WrongData
	}
	o.Active = false
	o, err := iotsafe.ParseObject(o.Kind, o.Append(nil)) // only what belongs to its kind
	if err != nil {
		return apdu.WrongData
	}
	if old := s.find(perso.Ref{Kind: o.Kind, ID: o.ID}); old != nil {
		there := old.Object
		there.Active = false
		if there != o {
			return apdu.ConditionsNot
		}
		return apdu.OK
	}
	if sw := s.holds(o); sw != apdu.OK {
		return sw
	}
	used := room(o)
	for _, c := range s.Objects {
		used += room(c.Object)
	}
	if len(s.Objects) >= MaxObjects || used > MaxBytes {
		return apdu.NoSpace
	}
	s.Objects = append(s.Objects, Container{Object: o})
	return apdu.OK
}

// holds tells whether this applet can keep objects of such a kind and type.
func (s *State) holds(o iotsafe.Object) apdu.SW {
	if o.Kind != iotsafe.File && !s.Capabilities.HasKeyType(o.KeyType) {
		return apdu.FunctionNotSupported
	}
	switch o.Kind {
	case iotsafe.PrivateKey, iotsafe.PublicKey:
		if s.Type == 2 {
			return apdu.FunctionNotSupported
		}
		switch o.KeyType {
		case iotsafe.P256Persistent, iotsafe.P256Volatile, iotsafe.RSA2048,
			iotsafe.BrainpoolP256Persist, iotsafe.BrainpoolP256Volatile:
			return apdu.OK
		}
		return apdu.WrongData
	case iotsafe.SecretKey:
		if _, known := secretSizes[o.KeyType]; !known {
			return apdu.WrongData
		}
	}
	return apdu.OK
}

// secretSizes are the sizes that secrets of a type may have, in bytes.
var secretSizes = map[iotsafe.KeyType]struct{ min, max int }{
	iotsafe.HMACSecret:   {1, perso.MaxSecret},
	iotsafe.AES128Secret: {16, 16},
	iotsafe.AES256Secret: {32, 32},
}

func (s *State) delete(ref perso.Ref) {
	s.Objects = slices.DeleteFunc(s.Objects, func(c Container) bool { return c.ref() == ref })
}

// fill replaces the content, which takes the object from the device until it is
// activated again.
func (c *Container) fill(content []byte) {
	c.Content, c.Object.Active = content, false
}

func (t *transaction) write(op perso.Write) apdu.SW {
	file := t.state.find(perso.Ref{Kind: iotsafe.File, ID: op.File})
	if file == nil {
		return apdu.ReferenceNotFound
	}
	old := file.Content
	if op.Offset == 0 {
		old = nil
	}
	switch {
	case op.Offset != len(old):
		return apdu.WrongOffset
	case len(old)+len(op.Bytes) > file.Object.Size:
		return apdu.NoSpace
	}
	file.fill(slices.Concat(old, op.Bytes))
	return apdu.OK
}

func (t *transaction) putSecret(op perso.PutSecret) apdu.SW {
	container := t.state.find(perso.Ref{Kind: iotsafe.SecretKey, ID: op.ID})
	if container == nil {
		return apdu.ReferenceNotFound
	}
	secret, err := t.decrypt(op.Encrypted)
	size := secretSizes[container.Object.KeyType]
	if err != nil || len(secret) < size.min || len(secret) > size.max {
		return apdu.WrongData
	}
	check := perso.SecretCheck(secret)
	if subtle.ConstantTimeCompare(check[:], op.Check[:]) != 1 {
		return apdu.WrongData
	}
	container.fill(slices.Clone(secret))
	return apdu.OK
}

// generate makes a key pair on a curve. The answer for an RSA key would not fit a
// response: devices generate those.
func (t *transaction) generate(op perso.Generate) (perso.Answer, apdu.SW) {
	private := perso.Ref{Kind: iotsafe.PrivateKey, ID: op.Private}
	public := perso.Ref{Kind: iotsafe.PublicKey, ID: op.Public}
	first, second := t.state.find(private), t.state.find(public)
	switch {
	case first == nil, second == nil:
		return nil, apdu.ReferenceNotFound
	case first.Object.KeyType == iotsafe.RSA2048:
		return nil, apdu.FunctionNotSupported
	case family(first.Object.KeyType) != family(second.Object.KeyType):
		return nil, apdu.ConditionsNot
	}
	if _, err := t.state.generate(private, public); err != nil {
		return nil, apdu.Unknown
	}
	proof, sw := t.signProof(first, op.Challenge)
	if sw != apdu.OK {
		return nil, sw
	}
	data, err := publicKeyData(nil, second)
	if err != nil {
		return nil, apdu.Unknown
	}
	return perso.KeyAnswer{PublicKey: data, Proof: proof}, apdu.OK
}

func (t *transaction) prove(op perso.Prove) (perso.Answer, apdu.SW) {
	c := t.state.find(op.Ref)
	switch {
	case c == nil:
		return nil, apdu.ReferenceNotFound
	case op.Ref.Kind != iotsafe.PrivateKey && op.Ref.Kind != iotsafe.SecretKey:
		return nil, apdu.WrongData
	case !c.filled():
		return nil, apdu.ConditionsNot
	case op.Ref.Kind == iotsafe.SecretKey:
		proof := perso.SecretProof(c.Content, op.Challenge, t.iccid)
		return perso.ProofAnswer{Proof: proof[:]}, apdu.OK
	}
	proof, sw := t.signProof(c, op.Challenge)
	if sw != apdu.OK {
		return nil, sw
	}
	return perso.ProofAnswer{Proof: proof}, apdu.OK
}

// signProof proves that the container holds a private key on a curve. An RSA signature
// would not fit a response.
func (t *transaction) signProof(c *Container, challenge [perso.ChallengeSize]byte) ([]byte, apdu.SW) {
	if c.Object.KeyType == iotsafe.RSA2048 {
		return nil, apdu.FunctionNotSupported
	}
	key, err := parsePrivateKey(c)
	if err != nil {
		return nil, apdu.StoreDamaged
	}
	point, err := key.public()
	if err != nil {
		return nil, apdu.StoreDamaged
	}
	digest := perso.ProofDigest(challenge, t.iccid, point)
	proof, err := key.sign(iotsafe.ECDSA, crypto.SHA256, digest[:])
	if err != nil {
		return nil, apdu.Unknown
	}
	return proof, apdu.OK
}

func (t *transaction) activate(refs []perso.Ref, active bool) apdu.SW {
	for _, ref := range refs {
		c := t.state.find(ref)
		switch {
		case c == nil:
			return apdu.ReferenceNotFound
		case active && !c.filled():
			return apdu.ConditionsNot
		}
		c.Object.Active = active
	}
	return apdu.OK
}

func (t *transaction) readState(op perso.ReadState) (perso.Answer, apdu.SW) {
	state := perso.StateAnswer{Total: len(t.state.Objects)}
	add := func(c *Container) apdu.SW {
		s, sw := t.describe(c)
		state.Objects = append(state.Objects, s)
		return sw
	}
	if len(op.Refs) == 0 {
		for i := op.Index; i < len(t.state.Objects); i++ {
			if sw := add(&t.state.Objects[i]); sw != apdu.OK {
				return nil, sw
			}
		}
		return state.Fit(), apdu.OK
	}
	for _, ref := range op.Refs {
		if c := t.state.find(ref); c != nil {
			if sw := add(c); sw != apdu.OK {
				return nil, sw
			}
		}
	}
	return state, apdu.OK
}

// describe is what READ STATE tells of a container.
func (t *transaction) describe(c *Container) (perso.State, apdu.SW) {
	s := perso.State{Ref: c.ref(), Active: c.Object.Active}
	if c.Object.Kind == iotsafe.File {
		s.Size = len(c.Content)
	}
	switch {
	case !c.filled():
	case c.Object.Kind == iotsafe.PrivateKey:
		key, err := parsePrivateKey(c)
		if err != nil {
			return s, apdu.StoreDamaged
		}
		public, err := key.public()
		if err != nil {
			return s, apdu.StoreDamaged
		}
		s.Digest = perso.Digest(public)
	case c.Object.Kind == iotsafe.SecretKey:
		proof := perso.SecretProof(c.Content, [perso.ChallengeSize]byte{}, t.iccid)
		copy(s.Digest[:], proof[:])
	default:
		s.Digest = perso.Digest(c.Content)
	}
	return s, apdu.OK
}
