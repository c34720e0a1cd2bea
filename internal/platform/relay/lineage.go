package relay

import (
	"crypto/ecdsa"
	"crypto/x509"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// proveKey has the SIM prove that a slot holds the private half of a key.
func (w *walk) proveKey(slot int, spki []byte) error {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return misbehaved("a key of type %T was to be proved", parsed)
	}
	prove := perso.Prove{
		Ref:       perso.Ref{Kind: iotsafe.PrivateKey, ID: w.fleet.Profile.Slots[slot].PrivateKey},
		Challenge: newChallenge(),
	}
	answers, err := w.personalize(prove)
	if err != nil {
		return err
	}
	if len(answers) != 1 {
		return misbehaved("the card gave %d answers when asked to prove that it holds its key", len(answers))
	}
	proof, ok := answers[0].(perso.ProofAnswer)
	if !ok {
		return misbehaved("the card answered %T when asked to prove that it holds its key", answers[0])
	}
	point, err := key.Bytes()
	if err != nil {
		return err
	}
	digest := perso.ProofDigest(prove.Challenge, w.iccid.File(), point)
	if !verifies(key, digest[:], proof.Proof) {
		return misbehaved("the card did not prove that it holds the private key of its certificate")
	}
	return nil
}

// lineage finds, among the credentials of the SIM that have ended, one whose key it still holds,
// and has it prove that; nil if there is none.
func (w *walk) lineage(store contents) (*ecdsa.PublicKey, error) {
	ended, err := w.life.Ended(w.ctx, string(w.iccid))
	if err != nil {
		return nil, err
	}
	for _, c := range ended {
		key, there := store.get(iotsafe.PrivateKey, w.fleet.Profile.Slots[c.Slot].PrivateKey)
		if !there || !keyMatches(c, key) {
			continue
		}
		if err := w.proveKey(c.Slot, c.PublicKey); err != nil {
			return nil, err
		}
		parsed, err := x509.ParsePKIXPublicKey(c.PublicKey)
		if err != nil {
			return nil, err
		}
		proved, _ := parsed.(*ecdsa.PublicKey) // proveKey has seen that it is one
		return proved, nil
	}
	return nil, nil
}
