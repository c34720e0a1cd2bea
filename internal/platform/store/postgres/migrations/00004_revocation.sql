-- What belongs on the revocation lists becomes rows of its own, written by the transaction that
-- revokes; lists are made from them and no longer kept. Certificates of servers become known. The
-- audit log becomes a chain: see store.Chain. Rows from before have no hash yet.

-- +goose Up
CREATE TABLE revoked_certificates (
	serial    TEXT COLLATE "C" PRIMARY KEY,
	shard     BIGINT NOT NULL,
	code      BIGINT NOT NULL, -- CRLReason (RFC 5280, 5.3.1)
	since     BIGINT NOT NULL,
	not_after BIGINT NOT NULL,
	revision  BIGINT NOT NULL
);
CREATE INDEX revoked_by_revision ON revoked_certificates (revision, since);
CREATE INDEX revoked_by_shard ON revoked_certificates (shard, revision);
CREATE INDEX revoked_lately ON revoked_certificates (since, revision);

ALTER TABLE revocations ADD COLUMN changed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revocations ADD COLUMN refreshed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revocations ADD COLUMN refreshed_at BIGINT NOT NULL DEFAULT 0;
-- A list's number is its revision from now on, and never goes back.
UPDATE revocations SET revision = 1 + greatest(revision, (SELECT coalesce(max(number), 0) FROM crl));
DROP TABLE crl;
DROP INDEX revoked;
DROP INDEX suspended_sims;

INSERT INTO revoked_certificates (serial, shard, code, since, not_after, revision)
SELECT serial,
	(16 * (strpos('0123456789abcdef', left(right(serial, 2), 1)) - 1) + strpos('0123456789abcdef', right(serial, 1)) - 1) % 64,
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
	serial      TEXT COLLATE "C" PRIMARY KEY,
	id          TEXT COLLATE "C" NOT NULL UNIQUE, -- sorts by age
	names       TEXT COLLATE "C" NOT NULL, -- with a space between them
	certificate BYTEA NOT NULL,
	not_before  BIGINT NOT NULL,
	not_after   BIGINT NOT NULL,
	created     BIGINT NOT NULL,
	revoked     BIGINT NOT NULL,
	reason      TEXT COLLATE "C" NOT NULL
);

ALTER TABLE audit ADD COLUMN hash BYTEA NOT NULL DEFAULT '';
