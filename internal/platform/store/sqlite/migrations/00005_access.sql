-- Who may speak to the platform: tokens for some fleets only, application servers with
-- certificates of their own, and the answers to requests that may be repeated.

-- +goose Up
ALTER TABLE tokens ADD COLUMN fleets TEXT NOT NULL DEFAULT ''; -- names with a space between them; none: all

CREATE TABLE app_servers (
	id            TEXT PRIMARY KEY,
	name          TEXT NOT NULL,
	fleets        TEXT NOT NULL, -- as of tokens
	invitation    BLOB NOT NULL UNIQUE, -- SHA-256 of the one-time token
	invited_until INTEGER NOT NULL,
	public_key    BLOB, -- SubjectPublicKeyInfo in DER, from the registration on
	sealing_key   BLOB,
	created       INTEGER NOT NULL,
	registered    INTEGER NOT NULL,
	not_after     INTEGER NOT NULL, -- of the certificate issued last
	withdrawn     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
	principal TEXT NOT NULL,
	name      TEXT NOT NULL, -- the Idempotency-Key
	request   BLOB NOT NULL, -- SHA-256
	answer    BLOB NOT NULL, -- in an envelope
	expires   INTEGER NOT NULL,
	PRIMARY KEY (principal, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX expired_answers ON answers (expires);
