-- Times are microseconds since 1970 in UTC; 0 means none. Rows refer to each other by
-- what the outside calls them, so that another database can hold the same rows.

-- +goose Up
CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE fleets (
	name    TEXT PRIMARY KEY,
	profile TEXT NOT NULL, -- JSON
	created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sims (
	iccid       TEXT PRIMARY KEY,
	fleet       TEXT NOT NULL REFERENCES fleets (name),
	state       TEXT NOT NULL,
	key_version INTEGER NOT NULL,
	domain      BLOB NOT NULL,
	keys        BLOB NOT NULL, -- in an envelope
	session     TEXT NOT NULL,
	created     INTEGER NOT NULL,
	updated     INTEGER NOT NULL,
	last_seen   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sims_of_fleet ON sims (fleet, iccid);

CREATE TABLE credentials (
	id           TEXT PRIMARY KEY,
	iccid        TEXT NOT NULL REFERENCES sims (iccid),
	fleet        TEXT NOT NULL REFERENCES fleets (name),
	type         TEXT NOT NULL,
	slot         INTEGER NOT NULL,
	state        TEXT NOT NULL,
	public_key   BLOB,
	secret       BLOB, -- in an envelope
	certificate  BLOB,
	fingerprint  BLOB,
	serial       TEXT,
	identity     TEXT,
	challenge    BLOB,
	proof        BLOB,
	not_before   INTEGER NOT NULL,
	not_after    INTEGER NOT NULL,
	reason       TEXT NOT NULL,
	revoked_from TEXT NOT NULL,
	created      INTEGER NOT NULL,
	updated      INTEGER NOT NULL
) STRICT;
CREATE INDEX credentials_of_sim ON credentials (iccid);
CREATE UNIQUE INDEX one_active ON credentials (iccid) WHERE state = 'active';
CREATE UNIQUE INDEX one_unfinished ON credentials (iccid) WHERE state IN ('requested', 'keyed', 'issued', 'delivered');
CREATE UNIQUE INDEX one_serial ON credentials (serial) WHERE serial IS NOT NULL;
CREATE UNIQUE INDEX one_identity ON credentials (identity) WHERE identity IS NOT NULL;
CREATE INDEX expiring ON credentials (not_after) WHERE state IN ('issued', 'delivered', 'active');
CREATE INDEX revoked ON credentials (not_after) WHERE state = 'revoked';
CREATE INDEX suspended_sims ON sims (iccid) WHERE state = 'suspended';

CREATE TABLE intents (
	serial     TEXT PRIMARY KEY,
	credential TEXT NOT NULL REFERENCES credentials (id),
	tbs        BLOB NOT NULL,
	created    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
	id          TEXT PRIMARY KEY,
	name        TEXT NOT NULL,
	role        TEXT NOT NULL,
	hash        BLOB NOT NULL UNIQUE,
	sealing_key BLOB,
	created     INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	withdrawn   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
	seq  INTEGER PRIMARY KEY,
	time INTEGER NOT NULL,
	body TEXT NOT NULL -- JSON
) STRICT;

CREATE TABLE audit (
	seq     INTEGER PRIMARY KEY,
	time    INTEGER NOT NULL,
	actor   TEXT NOT NULL,
	action  TEXT NOT NULL,
	subject TEXT NOT NULL,
	before  TEXT NOT NULL,
	after   TEXT NOT NULL,
	note    TEXT NOT NULL
) STRICT;

CREATE TABLE revocations (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	revision INTEGER NOT NULL
) STRICT;
INSERT INTO revocations VALUES (1, 0);

CREATE TABLE crl (
	number      INTEGER PRIMARY KEY,
	revision    INTEGER NOT NULL,
	der         BLOB NOT NULL,
	next_update INTEGER NOT NULL
) STRICT;
