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

	sealed, err := w.channel.host.EncryptSensitive(secret)
	if err != nil {
		return c, err
	}
	label, err := iotsafe.PSKLabel(c.Identity, false)
	if err != nil {
		return c, err
	}
	ref := perso.Ref{Kind: iotsafe.SecretKey, ID: w.fleet.Profile.Slots[c.Slot].Secret}
	// A new container each time, for a label cannot be written over: with the secret comes the
	// identity under which servers know it, and the device finds the two together or not at all.
	prepare := []perso.Op{
		perso.Delete{Ref: ref},
		perso.Create{Object: iotsafe.Object{
			Kind: iotsafe.SecretKey, ID: ref.ID, Label: label, KeyType: iotsafe.HMACSecret,
			Functions: iotsafe.KeyDerivation, Derivations: iotsafe.PRFSHA256 | iotsafe.HKDF,
		}},
		perso.PutSecret{ID: ref.ID, Encrypted: sealed, Check: perso.SecretCheck(secret)},
	}
	challenge := newChallenge()
	prove := perso.Prove{Ref: ref, Challenge: challenge}
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
