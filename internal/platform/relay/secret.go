package relay

import (
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
	challenge := newChallenge()
	prove := perso.Prove{Ref: slotRefs(w.fleet.Profile, c.Slot)[0], Challenge: challenge}
	c, answers, err := w.deliver(c, prepare, append(w.switchTo(c.Slot, store), prove))
	if err != nil {
		return c, err
	}
	if len(answers) != 1 {
		return c, misbehaved("the card gave %d answers when asked to prove that it holds its secret", len(answers))
	}
	proof, ok := answers[0].(perso.ProofAnswer)
	if !ok {
		return c, misbehaved("the card answered %T when asked to prove that it holds its secret", answers[0])
	}
	return w.life.Activate(w.ctx, w.session, c.ID, &api.Confirmation{Challenge: challenge[:], Proof: proof.Proof})
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
