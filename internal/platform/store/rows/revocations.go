package rows

import (
	"errors"
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

// Revision implements [store.Revocations].
func (t *Tx) Revision() (r store.Revision, err error) {
	return r, t.one("SELECT revision, changed FROM revocations", nil, &r.Number, moment{&r.Time})
}

// NewRevision implements [store.Revocations].
func (t *Tx) NewRevision(at time.Time) (int64, error) {
	if t.revision.Number != 0 && t.revision.Time.Equal(at) {
		return t.revision.Number, nil
	}
	var number int64
	err := t.one("UPDATE revocations SET revision = revision + 1, changed = ? RETURNING revision", []any{micros(at)}, &number)
	if err == nil {
		t.revision = store.Revision{Number: number, Time: at}
	}
	return number, err
}

// Refreshed implements [store.Revocations].
func (t *Tx) Refreshed() (r store.Revision, err error) {
	return r, t.one("SELECT refreshed, refreshed_at FROM revocations", nil, &r.Number, moment{&r.Time})
}

// Refresh implements [store.Revocations].
func (t *Tx) Refresh(at time.Time, by int64) error {
	t.revision = store.Revision{}
	return t.change("UPDATE revocations SET revision = revision + ?1, changed = ?2, refreshed = revision + ?1, refreshed_at = ?2", by, micros(at))
}

// PutRevoked implements [store.Revocations].
func (t *Tx) PutRevoked(r store.RevokedCertificate) error {
	return t.change(`INSERT INTO revoked_certificates (serial, shard, code, since, not_after, revision) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (serial) DO UPDATE SET code = excluded.code, since = excluded.since, revision = excluded.revision`,
		r.Serial, r.Shard, r.Code, micros(r.Since), micros(r.NotAfter), r.Revision)
}

const selectRevoked = "SELECT serial, shard, code, since, not_after, revision FROM revoked_certificates "

func scanRevoked(row scanner) (r store.RevokedCertificate, err error) {
	err = row.Scan(&r.Serial, &r.Shard, &r.Code, moment{&r.Since}, moment{&r.NotAfter}, &r.Revision)
	return r, err
}

// RevokedCertificate implements [store.Revocations].
func (t *Tx) RevokedCertificate(serial string) (store.RevokedCertificate, error) {
	return single(t, scanRevoked, selectRevoked+"WHERE serial = ?", serial)
}

// RevokedInShard implements [store.Revocations].
func (t *Tx) RevokedInShard(shard int, now time.Time) ([]store.RevokedCertificate, error) {
	return list(t, scanRevoked, selectRevoked+"WHERE shard = ? AND not_after > ? AND code <> 8 ORDER BY serial", shard, micros(now))
}

// RevokedAfter implements [store.Revocations].
func (t *Tx) RevokedAfter(revision int64, now time.Time) ([]store.RevokedCertificate, error) {
	return list(t, scanRevoked, selectRevoked+"WHERE revision > ? AND not_after > ? ORDER BY serial", revision, micros(now))
}

// LastRevisionInShard implements [store.Revocations].
func (t *Tx) LastRevisionInShard(shard int) (r store.Revision, err error) {
	err = t.one("SELECT revision, since FROM revoked_certificates WHERE shard = ? ORDER BY revision DESC LIMIT 1", []any{shard}, &r.Number, moment{&r.Time})
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return r, err
}

// RevisionBefore implements [store.Revocations].
func (t *Tx) RevisionBefore(at time.Time) (before int64, err error) {
	return before, t.one(`SELECT coalesce(max(revision), 0) FROM revoked_certificates WHERE revision <
		(SELECT coalesce(min(revision), (SELECT revision + 1 FROM revocations)) FROM revoked_certificates WHERE since > ?)`, []any{micros(at)}, &before)
}

// CertificateKnown implements [store.Revocations].
func (t *Tx) CertificateKnown(serial string) (known bool, err error) {
	return known, t.one(`SELECT EXISTS (SELECT 1 FROM credentials WHERE serial = ?1)
		OR EXISTS (SELECT 1 FROM server_certificates WHERE serial = ?1)
		OR EXISTS (SELECT 1 FROM app_server_certificates WHERE serial = ?1)`, []any{serial}, &known)
}
