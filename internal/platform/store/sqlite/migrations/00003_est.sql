-- One-time secrets with which the devices of SIMs enrol over EST.

-- +goose Up
CREATE TABLE enrolment_secrets (
	iccid      TEXT PRIMARY KEY REFERENCES sims (iccid),
	hash       BLOB NOT NULL,
	created    INTEGER NOT NULL,
	credential TEXT REFERENCES credentials (id) -- what it was used for
) STRICT, WITHOUT ROWID;
