package relay

import (
	"crypto/ecdsa"
	"math/big"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// deliverCertificate takes a credential from wherever it stands to active: key pair made
// in the SIM and proved, certificate issued, written and activated.
func (w *walk) deliverCertificate(c credential.Record, store contents) (credential.Record, error) {
	var err error
	if c.State == api.Requested {
		var key *ecdsa.PublicKey
		if key, err = w.generate(c.Slot, store); err != nil {
			return c, err
		}
		if c, err = w.life.Certify(w.ctx, w.session, c, key, w.fleet); err != nil {
			return c, err
		}
	}
	if c.State == api.Keyed {
		if c, err = w.life.Issue(w.ctx, w.session, c.ID); err != nil {
			return c, err
		}
	}
	slot := w.fleet.Profile.Slots[c.Slot]
	onSIM := c.State == api.Delivered && w.holds(c, store, true) // the SIM had committed, and its answer was lost
	if half, _ := store.get(iotsafe.PublicKey, slot.PublicKey); onSIM && half.Active {
		return w.activate(c, store, nil)
	}
	if w.renewing && !onSIM {
		if c, err = w.prepareRenewal(c, store); err != nil {
			return c, err
		}
	}
	prepare := perso.WriteFile(slot.Certificate, c.Certificate)
	anchor, activate, off := w.anchor(store)
	prepare = append(prepare, anchor...)
	switch {
	case onSIM && w.onTrial():
		err = w.try(c)
	case w.onTrial():
		// The public half stays off: the SIM signs, and devices do not count the pair among
		// their credentials, until it is on.
		stage := perso.Activate{Refs: append(activate, perso.Ref{Kind: iotsafe.PrivateKey, ID: slot.PrivateKey}, perso.Ref{Kind: iotsafe.File, ID: slot.Certificate})}
		if c, _, err = w.deliver(c, prepare, deactivating([]perso.Op{stage}, off)); err == nil {
			w.wrote = true
			err = w.try(c)
		}
	case !onSIM:
		if c, _, err = w.deliver(c, prepare, deactivating(w.switchTo(c.Slot, store, activate...), off)); err != nil {
			return c, err
		}
		w.wrote = true
		return w.activate(c, store, nil)
	}
	if err != nil {
		return c, err
	}
	// First the SIM, then the servers: it must not show what they refuse.
	if _, err := w.personalize(w.switchTo(c.Slot, store)...); err != nil {
		return c, err
	}
	return w.activate(c, store, nil)
}

// deactivating adds the files that go out of use.
func deactivating(ops []perso.Op, off []perso.Ref) []perso.Op {
	if len(off) > 0 {
		ops = append(ops, perso.Deactivate{Refs: off})
	}
	return ops
}

// generate makes a key pair in a slot, whose containers it creates if need be, and
// checks the SIM's proof that it holds the private half.
func (w *walk) generate(slot int, store contents) (*ecdsa.PublicKey, error) {
	s, label := w.fleet.Profile.Slots[slot], slotLabel(slot)
	var script []perso.Op
	for _, o := range []iotsafe.Object{
		{
			Kind: iotsafe.PrivateKey, ID: s.PrivateKey, Label: label,
			KeyType: iotsafe.P256Persistent, Usage: iotsafe.General,
			Functions: iotsafe.Signing | iotsafe.KeyGeneration, Signatures: iotsafe.ECDSA, Hashes: iotsafe.SHA256,
		}, {
			Kind: iotsafe.PublicKey, ID: s.PublicKey, Label: label, Access: iotsafe.Readable,
			KeyType: iotsafe.P256Persistent, Usage: iotsafe.General,
			Functions: iotsafe.Signing | iotsafe.KeyGeneration, Signatures: iotsafe.ECDSA, Hashes: iotsafe.SHA256,
		},
		certificateFile(w.fleet.Profile, slot),
	} {
		if _, there := store.get(o.Kind, o.ID); !there {
			script = append(script, perso.Create{Object: o})
		}
	}
	challenge := newChallenge()
	answers, err := w.personalize(append(script, perso.Generate{Private: s.PrivateKey, Public: s.PublicKey, Challenge: challenge})...)
	if err != nil {
		return nil, err
	}
	if len(answers) != 1 {
		return nil, misbehaved("the card gave %d answers to one key generation", len(answers))
	}
	made, ok := answers[0].(perso.KeyAnswer)
	if !ok {
		return nil, misbehaved("the card answered %T to a key generation", answers[0])
	}
	key, err := iotsafe.ParsePublicKey(made.PublicKey)
	if err != nil {
		return nil, misbehaved("%v", err)
	}
	point, err := key.Bytes()
	if err != nil {
		return nil, misbehaved("the card's new public key: %v", err)
	}
	digest := perso.ProofDigest(challenge, w.iccid.File(), point)
	if !verifies(key, digest[:], made.Proof) {
		return nil, misbehaved("the card did not prove that it holds the private key it made")
	}
	return key, nil
}

// verifies checks a signature r‖s.
func verifies(key *ecdsa.PublicKey, digest, signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(key, digest, r, s)
}
