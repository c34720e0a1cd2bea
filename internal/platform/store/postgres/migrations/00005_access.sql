-- Who may speak to the platform: tokens for some fleets only, application servers with
-- certificates of their own, and the answers to requests that may be repeated.

-- +goose Up
ALTER TABLE tokens ADD COLUMN fleets TEXT COLLATE "C" NOT NULL DEFAULT ''; -- names with a space between them; none: all

CREATE TABLE app_servers (
	id            TEXT COLLATE "C" PRIMARY KEY,
	name          TEXT COLLATE "C" NOT NULL,
	fleets        TEXT COLLATE "C" NOT NULL, -- as of tokens
	invitation    BYTEA NOT NULL UNIQUE, -- SHA-256 of the one-time token
	invited_until BIGINT NOT NULL,
	public_key    BYTEA, -- SubjectPublicKeyInfo in DER, from the registration on
	sealing_key   BYTEA,
	created       BIGINT NOT NULL,
	registered    BIGINT NOT NULL,
	not_after     BIGINT NOT NULL, -- of the certificate issued last
	withdrawn     BIGINT NOT NULL
);

CREATE TABLE answers (
	principal TEXT COLLATE "C" NOT NULL,
	name      TEXT COLLATE "C" NOT NULL, -- the Idempotency-Key
	request   BYTEA NOT NULL, -- SHA-256
	answer    BYTEA NOT NULL, -- in an envelope
	expires   BIGINT NOT NULL,
	PRIMARY KEY (principal, name)
);
CREATE INDEX expired_answers ON answers (expires);
