-- One-time secrets with which the devices of SIMs enrol over EST.

-- +goose Up
CREATE TABLE enrolment_secrets (
	iccid      TEXT COLLATE "C" PRIMARY KEY REFERENCES sims (iccid),
	hash       BYTEA NOT NULL,
	created    BIGINT NOT NULL,
	credential TEXT COLLATE "C" REFERENCES credentials (id) -- what it was used for
);
