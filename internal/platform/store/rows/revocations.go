package rows

import (
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

// Revision implements [store.Revocations].
func (t *Tx) Revision() (revision int64, err error) {
	return revision, t.one("SELECT revision FROM revocations", nil, &revision)
}

// NewRevision implements [store.Revocations].
func (t *Tx) NewRevision() error {
	return t.change("UPDATE revocations SET revision = revision + 1")
}

func scanRevoked(row scanner) (r store.RevokedCertificate, err error) {
	err = row.Scan(&r.Serial, moment{&r.Since}, &r.Reason, &r.Hold)
	return r, err
}

// RevokedCertificates implements [store.Revocations].
func (t *Tx) RevokedCertificates(now time.Time) ([]store.RevokedCertificate, error) {
	return list(t, scanRevoked, `
		SELECT serial, updated, reason, FALSE FROM credentials
			WHERE state = 'revoked' AND not_after > ?1 AND serial IS NOT NULL
		UNION ALL
		SELECT c.serial, s.updated, '', TRUE FROM sims s JOIN credentials c ON c.iccid = s.iccid
			WHERE s.state = 'suspended' AND c.state <> 'revoked' AND c.not_after > ?1 AND c.serial IS NOT NULL
		ORDER BY 1`, micros(now))
}

// CRL implements [store.Revocations].
func (t *Tx) CRL() (c store.CRL, err error) {
	return c, t.one("SELECT number, revision, der, next_update FROM crl ORDER BY number DESC LIMIT 1", nil,
		&c.Number, &c.Revision, &c.DER, moment{&c.NextUpdate})
}

// PublishCRL implements [store.Revocations].
func (t *Tx) PublishCRL(c store.CRL) error {
	var last int64
	if err := t.one("SELECT coalesce(max(number), 0) FROM crl", nil, &last); err != nil {
		return err
	}
	if c.Number != last+1 {
		return store.ErrExists
	}
	if _, err := t.exec("DELETE FROM crl"); err != nil {
		return err
	}
	return t.insert("INSERT INTO crl (number, revision, der, next_update) VALUES (?, ?, ?, ?)",
		c.Number, c.Revision, c.DER, micros(c.NextUpdate))
}
