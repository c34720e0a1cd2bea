package credential

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/internal/platform/campaign"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
	"github.com/simroot/simroot/perso"
)

// secretSize is the size of a PSK, in bytes.
const secretSize = 32

// secretRecord names the record that the envelope of a PSK is bound to.
func secretRecord(id string) string {
	return store.Envelope{Kind: store.CredentialEnvelope, Key: id}.Record()
}

// KeyedSecret makes the PSK of a requested credential, and returns the same one as long as
// the credential is not final. The caller clears it after use.
func (l *Life) KeyedSecret(ctx context.Context, session, id string) ([]byte, Record, error) {
	var fresh [secretSize]byte
	rand.Read(fresh[:]) // never fails (crypto/rand)
	defer clear(fresh[:])
	// Sealed in advance: a key management service is not to be waited for in a transaction.
	sealed, err := l.envelope.Seal(ctx, secretRecord(id), fresh[:])
	if err != nil {
		return nil, Record{}, err
	}
	record, err := l.advance(ctx, session, id, api.Keyed, func(_ store.Tx, _ transition.Cause, m *move) error {
		c := &m.Credential
		if c.Type != api.PSKType {
			return refuse.Conflict("credential %s is a certificate: its key is made in the SIM", id)
		}
		c.Secret = sealed
		return nil
	})
	if err != nil {
		return nil, Record{}, err
	}
	secret, err := l.secret(ctx, id)
	return secret, record, err
}

// secret opens the stored PSK of a credential.
func (l *Life) secret(ctx context.Context, id string) ([]byte, error) {
	var c store.Credential
	err := l.store.View(ctx, func(tx store.Tx) (err error) {
		c, err = find(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.open(ctx, c)
}

func (l *Life) open(ctx context.Context, c store.Credential) ([]byte, error) {
	if c.Type != api.PSKType || c.Secret == nil {
		return nil, refuse.Conflict("credential %s is a %s and %s: it has no secret", c.ID, c.Type, c.State)
	}
	return l.envelope.Open(ctx, secretRecord(c.ID), c.Secret)
}

// Opened is a PSK in clear, or why it is not given out.
type Opened struct {
	Secret  []byte
	Refusal error
}

// Secrets returns the PSKs of credentials that application servers accept, to be sealed for one of
// them; one for each ID, in their order. Of every credential that is there, shown is asked before its
// secret is opened, and its error is the refusal. The caller clears the secrets after use.
func (l *Life) Secrets(ctx context.Context, ids []string, shown func(api.Credential) error) ([]Opened, error) {
	opened := make([]Opened, len(ids))
	found := make([]store.Credential, len(ids))
	err := l.store.View(ctx, func(tx store.Tx) (err error) {
		for i, id := range ids {
			found[i], err = find(tx, id)
			if api.HasCode(err, api.CodeUnknownCred) {
				opened[i].Refusal, err = err, nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, c := range found {
		if opened[i].Refusal == nil {
			opened[i].Refusal = shown(c.Credential)
		}
		if opened[i].Refusal == nil {
			opened[i].Secret, opened[i].Refusal = l.giveOut(ctx, c)
		}
	}
	return opened, nil
}

// giveOut opens the PSK of a credential that application servers accept.
func (l *Life) giveOut(ctx context.Context, c store.Credential) ([]byte, error) {
	if c.Type == api.PSKType && !c.State.Accepted() {
		return nil, refuse.Conflict("credential %s is %s: its secret is not given out", c.ID, c.State)
	}
	return l.open(ctx, c)
}

// issueIdentity gives a PSK the identity under which the SIM presents it: the ICCID, a
// dot, and the end of the credential's ID.
func (l *Life) issueIdentity(ctx context.Context, session, id string, fleet api.Fleet) (Record, error) {
	return l.advance(ctx, session, id, api.Issued, func(tx store.Tx, why transition.Cause, m *move) error {
		if err := refuseUnless(api.Keyed)(tx, why, m); err != nil {
			return err
		}
		c := &m.Credential
		c.Identity = c.ICCID + "." + c.ID[len(c.ID)-12:]
		c.NotBefore = why.Time.Add(-backdate).Truncate(time.Second)
		c.NotAfter = why.Time.Add(time.Duration(fleet.Profile.Lifetime)).Truncate(time.Second)
		return nil
	})
}

// Activate notes that the SIM uses the credential: in one transaction this one becomes
// active, the one before it superseded, and the SIM provisioned. A PSK needs the SIM's
// confirmation that it holds the secret, a certificate has none. Anchors is the set of trust anchors that the SIM is
// known to hold now, or "".
func (l *Life) Activate(ctx context.Context, session, id string, confirmation *api.Confirmation, anchors string) (Record, error) {
	begin := refuseUnless(api.Delivered)
	if confirmation != nil { // a certificate need not be looked at before the transaction
		c, err := l.Credential(ctx, id)
		if err != nil {
			return Record{}, err
		}
		if c.Type != api.PSKType {
			return Record{}, refuse.BadRequest("credential %s is a certificate: there is nothing to confirm", id)
		}
		if c.State == api.Delivered {
			if err := l.confirm(ctx, c, confirmation); err != nil {
				return Record{}, err
			}
		} else { // nothing is confirmed
			begin = refuseFrom(c.State, api.Delivered)
		}
	}
	return l.advance(ctx, session, id, api.Active, func(tx store.Tx, why transition.Cause, m *move) error {
		if err := begin(tx, why, m); err != nil {
			return err
		}
		c, s := &m.Credential, &m.SIM
		if c.Type == api.PSKType && confirmation == nil {
			return unconfirmed(c.ID)
		}
		c.Confirmation = confirmation
		if err := supersedeActive(tx, why, c); err != nil {
			return err
		}
		known := s.Anchors
		if anchors != "" {
			if err := campaign.Anchored(tx, why.Time, s, anchors); err != nil {
				return err
			}
		}
		if s.State == api.Provisioned && s.Anchors != known {
			return tx.UpdateSIM(*s)
		}
		return provisioned(tx, why, s)
	})
}

// unconfirmed is the refusal of a PSK that is activated without the SIM's word.
func unconfirmed(id string) error {
	return refuse.BadRequest("credential %s: a PSK is activated with the SIM's proof over a challenge of %d bytes", id, perso.ChallengeSize)
}

// supersede ends a credential whose successor is in use, as its fleet wants it.
func supersede(tx store.Tx, why transition.Cause, c *store.Credential) error {
	if err := transition.Credential(tx, why, c, api.Superseded); err != nil {
		return err
	}
	fleet, err := tx.Fleet(c.Fleet)
	if err != nil || !fleet.Profile.RevokeOnRenew || c.Certificate == nil || ended(*c, why.Time) {
		return err
	}
	return transition.Revoke(tx, why, c, api.ReasonSuperseded)
}

// confirm checks a SIM's proof that it holds a PSK.
func (l *Life) confirm(ctx context.Context, c api.Credential, given *api.Confirmation) error {
	if len(given.Challenge) != perso.ChallengeSize {
		return unconfirmed(c.ID)
	}
	secret, err := l.secret(ctx, c.ID)
	if err != nil {
		return err
	}
	defer clear(secret)
	proof := perso.SecretProof(secret, [perso.ChallengeSize]byte(given.Challenge), card.ICCID(c.ICCID).File())
	if !hmac.Equal(proof[:], given.Proof) {
		return refuse.With(api.CodeCardMisbehaved, http.StatusConflict, "SIM %s did not prove that it holds the secret it was given", c.ICCID)
	}
	return nil
}
