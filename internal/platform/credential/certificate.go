package credential

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
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
	record, err := l.advance(ctx, session, id, api.Keyed, func(_ store.Tx, _ transition.Cause, m *move) error {
		return keyed(&m.Credential, spki)
	})
	return sameKey(record, spki, err)
}

// Certify takes a requested credential to issued: [Life.Keyed] and [Life.Issue] in one transaction. The
// fleet is as the caller knows it; if its profile has changed since, it is read anew. If the CA fails, the
// credential is keyed all the same, lest the SIM make another key: Issue goes on from there.
func (l *Life) Certify(ctx context.Context, session string, c Record, key *ecdsa.PublicKey, fleet api.Fleet) (Record, error) {
	record, err := l.certify(ctx, session, c, key, fleet)
	if errors.Is(err, errNotSigned) {
		_, keyed := l.Keyed(ctx, session, c.ID, key)
		err = errors.Join(err, keyed)
	}
	return record, err
}

// Issue gives a keyed credential what application servers know it by: a certificate
// (linted, signed, stored), or the identity of a PSK.
func (l *Life) Issue(ctx context.Context, session, id string) (Record, error) {
	var c store.Credential
	var fleet api.Fleet
	err := l.store.View(ctx, func(tx store.Tx) error {
		found, err := step(tx, session, id)
		if err != nil {
			return err
		}
		c = found.Credential
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
		return l.advance(ctx, session, id, api.Issued, refuseFrom(c.State, api.Keyed))
	}
	key, err := x509.ParsePKIXPublicKey(c.PublicKey)
	if err != nil {
		return Record{}, err
	}
	return l.certify(ctx, session, toRecord(c), key, fleet)
}

// errNotSigned is what certify decides upon.
var errNotSigned = errors.New("credential: the CA gives no certificate")

// certify gives a credential that is requested, or keyed with this key, the certificate of a key.
//
// It is signed before the transaction, so that nobody waits for a key in there, and leaves only
// after it: no certificate is out of which the store knows nothing. One that the transaction
// does not take is forgotten.
func (l *Life) certify(ctx context.Context, session string, c Record, key crypto.PublicKey, fleet api.Fleet) (record Record, err error) {
	err = l.ca.Again(ctx, func() (err error) {
		record, err = l.sign(ctx, session, c, key, fleet)
		return err
	})
	return record, err
}

// sign is certify by the CA of this moment.
func (l *Life) sign(ctx context.Context, session string, c Record, key crypto.PublicKey, fleet api.Fleet) (Record, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Record{}, err
	}
	for {
		made, err := l.signed(c.ICCID, key, fleet, l.now())
		if err != nil {
			return Record{}, fmt.Errorf("%w: %w", errNotSigned, err)
		}
		changed := fleet
		record, err := l.advance(ctx, session, c.ID, api.Issued, func(tx store.Tx, why transition.Cause, m *move) (err error) {
			c := &m.Credential
			if fleet.Name != c.Fleet || fleet.Version != m.FleetVersion {
				if changed, err = tx.Fleet(c.Fleet); err == nil {
					err = ErrFleetChanged
				}
				return err
			}
			if err := made.On(tx); err != nil {
				return err
			}
			if c.State == api.Requested {
				if err := keyed(c, spki); err != nil {
					return err
				}
				m.way = []api.CredentialState{api.Keyed, api.Issued}
			} else if err := refuseUnless(api.Keyed)(tx, why, m); err != nil {
				return err
			} else if _, err := sameKey(toRecord(*c), spki, nil); err != nil {
				return err // it has got its key meanwhile, and not the one that was certified
			}
			made.into(c)
			return nil
		})
		if !errors.Is(err, ErrFleetChanged) {
			return sameKey(record, spki, err)
		}
		fleet = changed
	}
}

// certified is a certificate that is signed, and that no row holds yet.
type certified struct {
	*ca.Prepared
	der []byte
}

// signed has the CA of this moment sign the certificate of a SIM's key.
func (l *Life) signed(iccid string, key crypto.PublicKey, fleet api.Fleet, now time.Time) (c certified, err error) {
	subject := ca.Subject{ICCID: iccid, Organization: fleet.Profile.Organization, Fleet: fleet.Name}
	if c.Prepared, err = l.ca.PrepareSIM(subject, key, now.Add(-backdate), now.Add(time.Duration(fleet.Profile.Lifetime))); err != nil {
		return c, err
	}
	c.der, err = l.ca.Sign(c.Prepared)
	return c, err
}

// into puts the certificate into the row of its credential.
func (c certified) into(row *store.Credential) {
	fingerprint := sha256.Sum256(c.der)
	row.Certificate, row.Fingerprint, row.Serial = c.der, fingerprint[:], c.Serial
	row.NotBefore, row.NotAfter = c.NotBefore, c.NotAfter
}

// keyed gives a credential its key.
func keyed(c *store.Credential, spki []byte) error {
	if c.Type != api.CertificateType {
		return refuse.Conflict("credential %s is a PSK: it has no public key", c.ID)
	}
	c.PublicKey = spki
	return nil
}

// sameKey refuses a credential that was found with another key.
func sameKey(record Record, spki []byte, err error) (Record, error) {
	if err == nil && !bytes.Equal(record.PublicKey, spki) {
		return Record{}, refuse.Conflict("credential %s is %s with another key: abandon it and request a new one", record.ID, record.State)
	}
	return record, err
}

// refuseUnless keeps a row from being filled in a state that the arrow does not begin at.
func refuseUnless(state api.CredentialState) func(store.Tx, transition.Cause, *move) error {
	return func(tx store.Tx, why transition.Cause, m *move) error {
		if m.Credential.State != state {
			return refuseFrom(m.Credential.State, state)(tx, why, m)
		}
		return nil
	}
}

// refuseFrom refuses a credential that was found in another state than the arrow begins at, even if
// somebody else has taken it there meanwhile: nothing was prepared for it.
func refuseFrom(found, want api.CredentialState) func(store.Tx, transition.Cause, *move) error {
	return func(_ store.Tx, _ transition.Cause, m *move) error {
		return refuse.Conflict("credential %s is %s, not %s", m.Credential.ID, found, want)
	}
}
