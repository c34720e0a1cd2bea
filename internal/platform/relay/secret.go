package relay

import (
	"crypto/hmac"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// deliverSecret takes a PSK from wherever it stands to active: made by the platform, put
// into the SIM under the session's key-encryption key, and confirmed by the SIM.
func (w *walk) deliverSecret(c credential.Record, store contents) (credential.Record, error) {
	secret, c, err := w.life.KeyedSecret(w.ctx, w.session, c.ID)
	if err != nil {
		return c, err
	}
	defer clear(secret)
	if c.State == api.Keyed {
		if c, err = w.life.Issue(w.ctx, w.session, c.ID); err != nil {
			return c, err
		}
	}

	prove := perso.Prove{Ref: slotRefs(w.fleet.Profile, c.Slot)[0], Challenge: newChallenge()}
	if c.State == api.Delivered && w.holds(c, store, true) && !w.slotInUse(1-c.Slot, store) {
		// The SIM had committed, it seems, and its answer was lost. To write the secret once
		// more would take it from a device that uses it, so the SIM is asked first.
		answers, err := w.personalize(prove)
		if err != nil {
			return c, err
		}
		confirmation, err := confirmationOf(prove, answers)
		if err != nil {
			return c, err
		}
		want := perso.SecretProof(secret, prove.Challenge, w.iccid.File())
		if hmac.Equal(confirmation.Proof, want[:]) {
			return w.activate(c, store, confirmation)
		}
	}
	if w.onTrial() {
		stage, err := w.putSecret(c, secret, true)
		if err != nil {
			return c, err
		}
		if c, _, err = w.deliver(c, stage, []perso.Op{perso.Activate{Refs: slotRefs(w.fleet.Profile, c.Slot)}}); err != nil {
			return c, err
		}
		if err := w.try(c); err != nil {
			return c, err
		}
	}
	prepare, err := w.putSecret(c, secret, false)
	if err != nil {
		return c, err
	}
	c, answers, err := w.deliver(c, prepare, append(w.switchTo(c.Slot, store), prove))
	if err != nil {
		return c, err
	}
	confirmation, err := confirmationOf(prove, answers)
	if err != nil {
		return c, err
	}
	return w.activate(c, store, confirmation)
}

// confirmationOf is the SIM's answer to a request to prove that it holds its secret.
func confirmationOf(asked perso.Prove, answers []perso.Answer) (*api.Confirmation, error) {
	if len(answers) != 1 {
		return nil, misbehaved("the card gave %d answers when asked to prove that it holds its secret", len(answers))
	}
	proof, ok := answers[0].(perso.ProofAnswer)
	if !ok {
		return nil, misbehaved("the card answered %T when asked to prove that it holds its secret", answers[0])
	}
	return &api.Confirmation{Challenge: asked.Challenge[:], Proof: proof.Proof}, nil
}

// putSecret puts a PSK into its slot, in a new container each time, for a label cannot be
// written over: with the secret comes the identity under which servers know it, and the
// device finds the two together or not at all. On trial, it does not count it among its
// credentials.
func (w *walk) putSecret(c credential.Record, secret []byte, onTrial bool) ([]perso.Op, error) {
	label, err := iotsafe.PSKLabel(c.Identity, onTrial)
	if err != nil {
		return nil, err
	}
	sealed, err := w.channel.host.EncryptSensitive(secret)
	if err != nil {
		return nil, err
	}
	ref := slotRefs(w.fleet.Profile, c.Slot)[0]
	return []perso.Op{
		perso.Delete{Ref: ref},
		perso.Create{Object: iotsafe.Object{
			Kind: iotsafe.SecretKey, ID: ref.ID, Label: label, KeyType: iotsafe.HMACSecret,
			Functions: iotsafe.KeyDerivation, Derivations: iotsafe.PRFSHA256 | iotsafe.HKDF,
		}},
		perso.PutSecret{ID: ref.ID, Encrypted: sealed, Check: perso.SecretCheck(secret)},
	}, nil
}
