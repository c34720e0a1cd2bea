-- Texts are compared byte by byte, as in SQLite.
-- Times are microseconds since 1970 in UTC; 0 means none. Rows refer to each other by
-- what the outside calls them, so that another database can hold the same rows.

-- +goose Up
CREATE TABLE settings (
	name  TEXT COLLATE "C" PRIMARY KEY,
	value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE fleets (
	name    TEXT COLLATE "C" PRIMARY KEY,
	profile TEXT COLLATE "C" NOT NULL, -- JSON
	created BIGINT NOT NULL
);

CREATE TABLE sims (
	iccid       TEXT COLLATE "C" PRIMARY KEY,
	fleet       TEXT COLLATE "C" NOT NULL REFERENCES fleets (name),
	state       TEXT COLLATE "C" NOT NULL,
	key_version INTEGER NOT NULL,
	domain      BYTEA NOT NULL,
	keys        BYTEA NOT NULL, -- in an envelope
	session     TEXT COLLATE "C" NOT NULL,
	created     BIGINT NOT NULL,
	updated     BIGINT NOT NULL,
	last_seen   BIGINT NOT NULL
);
CREATE INDEX sims_of_fleet ON sims (fleet, iccid);

CREATE TABLE credentials (
	id           TEXT COLLATE "C" PRIMARY KEY,
	iccid        TEXT COLLATE "C" NOT NULL REFERENCES sims (iccid),
	fleet        TEXT COLLATE "C" NOT NULL REFERENCES fleets (name),
	type         TEXT COLLATE "C" NOT NULL,
	slot         INTEGER NOT NULL,
	state        TEXT COLLATE "C" NOT NULL,
	public_key   BYTEA,
	secret       BYTEA, -- in an envelope
	certificate  BYTEA,
	fingerprint  BYTEA,
	serial       TEXT COLLATE "C",
	identity     TEXT COLLATE "C",
	challenge    BYTEA,
	proof        BYTEA,
	not_before   BIGINT NOT NULL,
	not_after    BIGINT NOT NULL,
	reason       TEXT COLLATE "C" NOT NULL,
	revoked_from TEXT COLLATE "C" NOT NULL,
	created      BIGINT NOT NULL,
	updated      BIGINT NOT NULL
);
CREATE INDEX credentials_of_sim ON credentials (iccid);
CREATE UNIQUE INDEX one_active ON credentials (iccid) WHERE state = 'active';
CREATE UNIQUE INDEX one_unfinished ON credentials (iccid) WHERE state IN ('requested', 'keyed', 'issued', 'delivered');
CREATE UNIQUE INDEX one_serial ON credentials (serial) WHERE serial IS NOT NULL;
CREATE UNIQUE INDEX one_identity ON credentials (identity) WHERE identity IS NOT NULL;
CREATE INDEX expiring ON credentials (not_after) WHERE state IN ('issued', 'delivered', 'active');
CREATE INDEX revoked ON credentials (not_after) WHERE state = 'revoked';
CREATE INDEX suspended_sims ON sims (iccid) WHERE state = 'suspended';

CREATE TABLE intents (
	serial     TEXT COLLATE "C" PRIMARY KEY,
	credential TEXT COLLATE "C" NOT NULL REFERENCES credentials (id),
	tbs        BYTEA NOT NULL,
	created    BIGINT NOT NULL
);

CREATE TABLE tokens (
	id          TEXT COLLATE "C" PRIMARY KEY,
	name        TEXT COLLATE "C" NOT NULL,
	role        TEXT COLLATE "C" NOT NULL,
	hash        BYTEA NOT NULL UNIQUE,
	sealing_key BYTEA,
	created     BIGINT NOT NULL,
	expires     BIGINT NOT NULL,
	withdrawn   BIGINT NOT NULL
);

CREATE TABLE events (
	seq  BIGINT PRIMARY KEY,
	time BIGINT NOT NULL,
	body TEXT COLLATE "C" NOT NULL -- JSON
);

CREATE TABLE audit (
	seq     BIGINT PRIMARY KEY,
	time    BIGINT NOT NULL,
	actor   TEXT COLLATE "C" NOT NULL,
	action  TEXT COLLATE "C" NOT NULL,
	subject TEXT COLLATE "C" NOT NULL,
	before  TEXT COLLATE "C" NOT NULL,
	after   TEXT COLLATE "C" NOT NULL,
	note    TEXT COLLATE "C" NOT NULL
);

CREATE TABLE revocations (
	one      BIGINT PRIMARY KEY CHECK (one = 1),
	revision BIGINT NOT NULL
);
INSERT INTO revocations VALUES (1, 0);

CREATE TABLE crl (
	number      BIGINT PRIMARY KEY,
	revision    BIGINT NOT NULL,
	der         BYTEA NOT NULL,
	next_update BIGINT NOT NULL
);
