package rows

import (
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

const credentialColumns = "id, iccid, fleet, type, slot, state, public_key, secret, certificate, fingerprint, " +
	"serial, identity, challenge, proof, not_before, not_after, reason, revoked_from, created, updated"

func scanCredential(row scanner) (c store.Credential, err error) {
	return c, scanWithCredential(row, &c)
}

// scanWithCredential reads credentialColumns, and what follows them.
func scanWithCredential(row scanner, c *store.Credential, following ...any) error {
	var challenge, proof []byte
	err := row.Scan(append([]any{&c.ID, &c.ICCID, &c.Fleet, &c.Type, &c.Slot, &c.State, &c.PublicKey, &c.Secret, &c.Certificate, &c.Fingerprint,
		optional{&c.Serial}, optional{&c.Identity}, &challenge, &proof,
		moment{&c.NotBefore}, moment{&c.NotAfter}, &c.Reason, &c.RevokedFrom, moment{&c.Created}, moment{&c.Updated}}, following...)...)
	if challenge != nil {
		c.Confirmation = &api.Confirmation{Challenge: challenge, Proof: proof}
	}
	return err
}

// confirmation splits a confirmation that may be absent.
func confirmation(c *api.Confirmation) (challenge, proof []byte) {
	if c == nil {
		return nil, nil
	}
	return c.Challenge, c.Proof
}

// InsertCredential implements [store.Credentials].
func (t *Tx) InsertCredential(c store.Credential) error {
	challenge, proof := confirmation(c.Confirmation)
	return t.change("INSERT INTO credentials ("+credentialColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.ICCID, c.Fleet, string(c.Type), c.Slot, string(c.State), c.PublicKey, c.Secret, c.Certificate, c.Fingerprint,
		orNull(c.Serial), orNull(c.Identity), challenge, proof,
		micros(c.NotBefore), micros(c.NotAfter), string(c.Reason), string(c.RevokedFrom), micros(c.Created), micros(c.Updated))
}

// UpdateCredential implements [store.Credentials].
func (t *Tx) UpdateCredential(c store.Credential) error {
	challenge, proof := confirmation(c.Confirmation)
	return t.change(`UPDATE credentials SET state = ?, public_key = ?, secret = ?, certificate = ?, fingerprint = ?,
		serial = ?, identity = ?, challenge = ?, proof = ?, not_before = ?, not_after = ?, reason = ?, revoked_from = ?, updated = ?
		WHERE id = ?`,
		string(c.State), c.PublicKey, c.Secret, c.Certificate, c.Fingerprint,
		orNull(c.Serial), orNull(c.Identity), challenge, proof,
		micros(c.NotBefore), micros(c.NotAfter), string(c.Reason), string(c.RevokedFrom), micros(c.Updated), c.ID)
}

// Credential implements [store.Credentials].
func (t *Tx) Credential(id string) (store.Credential, error) {
	return single(t, scanCredential, "SELECT "+credentialColumns+" FROM credentials WHERE id = ?", id)
}

var selectStep = "SELECT " + of("credentials", credentialColumns) + ", fleets.version, " + of("sims", simColumns) + `
	FROM credentials JOIN sims ON sims.iccid = credentials.iccid JOIN fleets ON fleets.name = credentials.fleet WHERE credentials.id = ?`

// Step implements [store.Credentials].
func (t *Tx) Step(id string) (store.Step, error) {
	return single(t, func(row scanner) (s store.Step, err error) {
		return s, scanWithCredential(row, &s.Credential, append([]any{&s.FleetVersion}, intoSIM(&s.SIM)...)...)
	}, selectStep, id)
}

// ListCredentials implements [store.Credentials].
func (t *Tx) ListCredentials(f store.CredentialFilter, after string, limit int) ([]store.Credential, error) {
	if f.ICCID != "" {
		return list(t, scanCredential, "SELECT "+credentialColumns+` FROM credentials
			WHERE iccid = ? AND id > ? AND (?3 = '' OR fleet = ?3) AND (?4 = '' OR state = ?4) ORDER BY id LIMIT ?`,
			f.ICCID, after, f.Fleet, string(f.State), limit)
	}
	switch { // each restriction has its index
	case f.State != "":
		return list(t, scanCredential, "SELECT "+credentialColumns+` FROM credentials
			WHERE state = ? AND id > ? AND (?3 = '' OR fleet = ?3) ORDER BY id LIMIT ?`, string(f.State), after, f.Fleet, limit)
	case f.Fleet != "":
		return list(t, scanCredential, "SELECT "+credentialColumns+` FROM credentials
			WHERE fleet = ? AND id > ? ORDER BY id LIMIT ?`, f.Fleet, after, limit)
	}
	return list(t, scanCredential, "SELECT "+credentialColumns+` FROM credentials WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
}

// CredentialsOf implements [store.Credentials].
func (t *Tx) CredentialsOf(iccid string, now time.Time) ([]store.Credential, error) {
	return list(t, scanCredential, "SELECT "+credentialColumns+` FROM credentials
		WHERE iccid = ? AND (state NOT IN ('superseded', 'expired', 'revoked')
			OR state = 'superseded' AND certificate IS NOT NULL AND not_after > ?) ORDER BY id`,
		iccid, micros(now))
}

// CredentialBySerial implements [store.Credentials].
func (t *Tx) CredentialBySerial(serial string) (store.Credential, error) {
	return single(t, scanCredential, "SELECT "+credentialColumns+" FROM credentials WHERE serial = ?", serial)
}

// WasRevoked implements [store.Credentials].
func (t *Tx) WasRevoked(iccid string) (was bool, err error) {
	return was, t.one(`SELECT EXISTS (SELECT 1 FROM credentials
		WHERE iccid = ? AND state = 'revoked' AND revoked_from <> 'superseded')`, []any{iccid}, &was)
}

// RequestedSince implements [store.Credentials].
func (t *Tx) RequestedSince(iccid string, since time.Time) (n int, first time.Time, err error) {
	return n, first, t.one("SELECT count(*), min(created) FROM credentials WHERE iccid = ? AND created > ?",
		[]any{iccid, micros(since)}, &n, moment{&first})
}

// Ended implements [store.Credentials].
func (t *Tx) Ended(iccid string, limit int) ([]store.Credential, error) {
	return list(t, scanCredential, "SELECT "+credentialColumns+` FROM credentials
		WHERE iccid = ? AND state IN ('expired', 'active') AND certificate IS NOT NULL ORDER BY not_after DESC LIMIT ?`,
		iccid, limit)
}

// KeySince implements [store.Credentials].
func (t *Tx) KeySince(iccid string, publicKey []byte) (since time.Time, err error) {
	return since, t.one("SELECT min(created) FROM credentials WHERE iccid = ? AND public_key = ?", []any{iccid, publicKey}, moment{&since})
}

// LastEnd implements [store.Credentials].
func (t *Tx) LastEnd() (last time.Time, err error) {
	return last, t.one(`SELECT max(not_after) FROM (
		SELECT max(not_after) AS not_after FROM credentials WHERE state IN ('issued', 'delivered', 'active')
		UNION ALL SELECT max(not_after) FROM server_certificates WHERE revoked = 0
		UNION ALL SELECT max(not_after) FROM app_servers WHERE withdrawn = 0) AS ends`, nil, moment{&last})
}

// Expiring implements [store.Credentials].
func (t *Tx) Expiring(now time.Time, limit int) ([]store.Credential, error) {
	return list(t, scanCredential, "SELECT "+credentialColumns+` FROM credentials
		WHERE state IN ('issued', 'delivered', 'active') AND not_after <= ? ORDER BY not_after LIMIT ?`,
		micros(now), limit)
}
