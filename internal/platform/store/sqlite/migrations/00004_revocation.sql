-- What belongs on the revocation lists becomes rows of its own, written by the transaction that
-- revokes; lists are made from them and no longer kept. Certificates of servers become known. The
-- audit log becomes a chain: see store.Chain. Rows from before have no hash yet.

-- +goose Up
CREATE TABLE revoked_certificates (
	serial    TEXT PRIMARY KEY,
	shard     INTEGER NOT NULL,
	code      INTEGER NOT NULL, -- CRLReason (RFC 5280, 5.3.1)
	since     INTEGER NOT NULL,
	not_after INTEGER NOT NULL,
	revision  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_by_revision ON revoked_certificates (revision, since);
CREATE INDEX revoked_by_shard ON revoked_certificates (shard, revision);
CREATE INDEX revoked_lately ON revoked_certificates (since, revision);

ALTER TABLE revocations ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revocations ADD COLUMN refreshed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revocations ADD COLUMN refreshed_at INTEGER NOT NULL DEFAULT 0;
-- A list's number is its revision from now on, and never goes back.
UPDATE revocations SET revision = 1 + max(revision, (SELECT coalesce(max(number), 0) FROM crl));
DROP TABLE crl;
DROP INDEX revoked;
DROP INDEX suspended_sims;

INSERT INTO revoked_certificates (serial, shard, code, since, not_after, revision)
SELECT serial,
	(16 * (instr('0123456789abcdef', substr(serial, -2, 1)) - 1) + instr('0123456789abcdef', substr(serial, -1)) - 1) % 64,
	code, since, not_after, (SELECT revision FROM revocations)
FROM (
	SELECT serial, not_after, updated AS since, CASE reason WHEN 'keyCompromise' THEN 1 WHEN 'affiliationChanged' THEN 3
			WHEN 'superseded' THEN 4 WHEN 'cessationOfOperation' THEN 5 WHEN 'privilegeWithdrawn' THEN 9 ELSE 0 END AS code
		FROM credentials WHERE state = 'revoked' AND serial IS NOT NULL
	UNION ALL
	SELECT c.serial, c.not_after, s.updated, 6 FROM sims s JOIN credentials c ON c.iccid = s.iccid
		WHERE s.state = 'suspended' AND c.state <> 'revoked' AND c.serial IS NOT NULL
) AS old;

CREATE TABLE server_certificates (
	serial      TEXT PRIMARY KEY,
	id          TEXT NOT NULL UNIQUE, -- sorts by age
	names       TEXT NOT NULL, -- with a space between them
	certificate BLOB NOT NULL,
	not_before  INTEGER NOT NULL,
	not_after   INTEGER NOT NULL,
	created     INTEGER NOT NULL,
	revoked     INTEGER NOT NULL,
	reason      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE audit ADD COLUMN hash BLOB NOT NULL DEFAULT x'';
