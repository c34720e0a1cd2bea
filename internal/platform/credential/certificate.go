package credential

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// backdate is how far before the present a credential begins, for clocks that are slow.
const backdate = 5 * time.Minute

// Keyed records the public key of a key pair that was made in the SIM and whose
// possession the SIM has proved. A credential that has another key already is refused with
// a conflict: states do not go back, so [Life.Abandon] it and request a new one.
func (l *Life) Keyed(ctx context.Context, session, id string, key *ecdsa.PublicKey) (Record, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return Record{}, refuse.BadRequest("credential %s: want a public key on P-256", id)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Record{}, err
	}
	record, err := l.advance(ctx, session, id, api.Keyed, func(_ store.Tx, _ transition.Cause, c *store.Credential, _ *store.SIM) error {
		if c.Type != api.CertificateType {
			return refuse.Conflict("credential %s is a PSK: it has no public key", id)
		}
		c.PublicKey = spki
		return nil
	})
	if err == nil && !bytes.Equal(record.PublicKey, spki) {
		return Record{}, refuse.Conflict("credential %s is %s with another key: abandon it and request a new one", id, record.State)
	}
	return record, err
}

// Issue gives a keyed credential what application servers know it by: a certificate
// (linted, its intent stored, signed, stored), or the identity of a PSK.
func (l *Life) Issue(ctx context.Context, session, id string) (record Record, err error) {
	err = l.ca.Again(ctx, func() (err error) {
		record, err = l.issue(ctx, session, id)
		return err
	})
	return record, err
}

func (l *Life) issue(ctx context.Context, session, id string) (Record, error) {
	var c store.Credential
	var fleet api.Fleet
	err := l.store.View(ctx, func(tx store.Tx) (err error) {
		if c, _, err = step(tx, session, id); err != nil {
			return err
		}
		fleet, err = tx.Fleet(c.Fleet)
		return err
	})
	if err != nil {
		return Record{}, err
	}
	if c.Type == api.PSKType {
		return l.issueIdentity(ctx, session, id, fleet)
	}
	if c.State != api.Keyed { // too early, too late, or done
		return l.advance(ctx, session, id, api.Issued, refuseUnless(api.Keyed))
	}

	key, err := x509.ParsePKIXPublicKey(c.PublicKey)
	if err != nil {
		return Record{}, err
	}
	now := l.now()
	subject := ca.Subject{ICCID: c.ICCID, Organization: fleet.Profile.Organization, Fleet: fleet.Name}
	prepared, err := l.ca.PrepareSIM(subject, key, now.Add(-backdate), now.Add(time.Duration(fleet.Profile.Lifetime)))
	if err != nil {
		return Record{}, err
	}
	// The intent comes first: no certificate exists of which the store knows nothing.
	err = l.store.Update(ctx, func(tx store.Tx) error {
		if err := prepared.On(tx); err != nil {
			return err
		}
		return tx.InsertIntent(store.Intent{Serial: prepared.Serial, Credential: id, TBS: prepared.TBS, Created: now})
	})
	if err != nil {
		return Record{}, err
	}
	der, err := l.ca.Sign(prepared)
	if err != nil {
		return Record{}, err
	}
	fingerprint := sha256.Sum256(der)
	return l.advance(ctx, session, id, api.Issued, func(tx store.Tx, why transition.Cause, c *store.Credential, s *store.SIM) error {
		if err := errors.Join(refuseUnless(api.Keyed)(tx, why, c, s), prepared.On(tx)); err != nil {
			return err
		}
		c.Certificate, c.Fingerprint, c.Serial = der, fingerprint[:], prepared.Serial
		c.NotBefore, c.NotAfter = prepared.NotBefore, prepared.NotAfter
		return nil
	})
}

// refuseUnless keeps a row from being filled in a state that the arrow does not begin at.
func refuseUnless(state api.CredentialState) func(store.Tx, transition.Cause, *store.Credential, *store.SIM) error {
	return func(_ store.Tx, _ transition.Cause, c *store.Credential, _ *store.SIM) error {
		if c.State != state {
			return refuse.Conflict("credential %s is %s, not %s", c.ID, c.State, state)
		}
		return nil
	}
}
