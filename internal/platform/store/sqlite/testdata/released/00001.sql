BEGIN TRANSACTION;
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
INSERT INTO "audit" VALUES(1,1795507200123456,'t1','sim.seen','89882110000000000001','imported','seen','note');
INSERT INTO "audit" VALUES(2,1795507200123456,'t1','credential.revoked','0001','active','revoked','');
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
INSERT INTO "credentials" VALUES('0001','89882110000000000001','meters','certificate',0,'revoked',X'6B65792031',NULL,X'6465722031',X'66696E6765727072696E742031','0a01',NULL,NULL,NULL,1795507200123456,1803456000123456,'keyCompromise','active',1795507200123456,1795507201123456);
INSERT INTO "credentials" VALUES('0002','89882110000000000001','meters','certificate',1,'active',X'6B65792032',NULL,X'6465722032',X'66696E6765727072696E742032','0a02',NULL,NULL,NULL,1795507200123456,1803456000123456,'','',1795507200123456,1795507201123456);
INSERT INTO "credentials" VALUES('0003','89882110000000000002','locks','psk',0,'active',NULL,X'7365616C6564207365637265742033',NULL,NULL,NULL,'identity 3',X'6368616C6C656E6765',X'70726F6F66',1795507200123456,1803456000123456,'','',1795507200123456,1795507200123456);
CREATE TABLE crl (
	number      INTEGER PRIMARY KEY,
	revision    INTEGER NOT NULL,
	der         BLOB NOT NULL,
	next_update INTEGER NOT NULL
) STRICT;
INSERT INTO "crl" VALUES(1,2,X'63726C',1795593600123456);
CREATE TABLE events (
	seq  INTEGER PRIMARY KEY,
	time INTEGER NOT NULL,
	body TEXT NOT NULL -- JSON
) STRICT;
INSERT INTO "events" VALUES(1,1795507200123456,'{"mark":"0011223344556677","time":"2026-11-24T08:00:00.123456Z","sim":{"iccid":"89882110000000000001","fleet":"meters","state":"provisioned","created":"2026-11-24T08:00:00.123456Z","updated":"2026-11-24T08:01:00.123456Z","last_seen":"2026-11-24T08:01:00.123456Z"}}');
INSERT INTO "events" VALUES(2,1795507200123456,'{"mark":"8899aabbccddeeff","time":"2026-11-24T08:00:00.123456Z","credential":{"id":"0002","iccid":"89882110000000000001","fleet":"meters","type":"certificate","state":"active","slot":1,"certificate":"ZGVyIDI=","fingerprint":"ZmluZ2VycHJpbnQgMg==","serial":"0a02","not_before":"2026-11-24T08:00:00.123456Z","not_after":"2027-02-24T08:00:00.123456Z","created":"2026-11-24T08:00:00.123456Z","updated":"2026-11-24T08:00:01.123456Z"}}');
CREATE TABLE fleets (
	name    TEXT PRIMARY KEY,
	profile TEXT NOT NULL, -- JSON
	created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "fleets" VALUES('locks','{"type":"psk","slots":[{"secret":"21"},{"secret":"22"}],"lifetime":"2160h0m0s","renew_before":"720h0m0s"}',1795507200123456);
INSERT INTO "fleets" VALUES('meters','{"type":"certificate","slots":[{"private_key":"01","public_key":"01","certificate":"02"},{"private_key":"11","public_key":"11","certificate":"12"}],"trust_anchor":"03","organization":"Example Meters","lifetime":"2160h0m0s","renew_before":"720h0m0s"}',1795507200123456);
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO "goose_db_version" VALUES(1,0,1,'2026-11-24 12:22:24');
INSERT INTO "goose_db_version" VALUES(2,1,1,'2026-11-24 12:22:24');
CREATE TABLE intents (
	serial     TEXT PRIMARY KEY,
	credential TEXT NOT NULL REFERENCES credentials (id),
	tbs        BLOB NOT NULL,
	created    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "intents" VALUES('0a01','0001',X'7462732031',1795507200123456);
CREATE TABLE revocations (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	revision INTEGER NOT NULL
) STRICT;
INSERT INTO "revocations" VALUES(1,2);
CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "settings" VALUES('feed','00112233445566778899aabbccddeeff');
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
INSERT INTO "sims" VALUES('89882110000000000001','meters','provisioned',48,X'A000000151000000',X'7365616C6564206B6579732031','session',1795507200123456,1795507260123456,1795507260123456);
INSERT INTO "sims" VALUES('89882110000000000002','locks','suspended',49,X'A000000151000000',X'7365616C6564206B6579732032','',1795507200123456,1795510800123456,0);
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
INSERT INTO "tokens" VALUES('t1','admin','admin',X'0102030000000000000000000000000000000000000000000000000000000000',NULL,1795507200123456,1798099200123456,0);
INSERT INTO "tokens" VALUES('t2','broker','appserver',X'0405060000000000000000000000000000000000000000000000000000000000',X'7365616C696E67206B6579',1795507200123456,1827043200123456,0);
CREATE INDEX sims_of_fleet ON sims (fleet, iccid);
CREATE INDEX credentials_of_sim ON credentials (iccid);
CREATE UNIQUE INDEX one_active ON credentials (iccid) WHERE state = 'active';
CREATE UNIQUE INDEX one_unfinished ON credentials (iccid) WHERE state IN ('requested', 'keyed', 'issued', 'delivered');
CREATE UNIQUE INDEX one_serial ON credentials (serial) WHERE serial IS NOT NULL;
CREATE UNIQUE INDEX one_identity ON credentials (identity) WHERE identity IS NOT NULL;
CREATE INDEX expiring ON credentials (not_after) WHERE state IN ('issued', 'delivered', 'active');
CREATE INDEX revoked ON credentials (not_after) WHERE state = 'revoked';
CREATE INDEX suspended_sims ON sims (iccid) WHERE state = 'suspended';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('goose_db_version',2);
COMMIT;
