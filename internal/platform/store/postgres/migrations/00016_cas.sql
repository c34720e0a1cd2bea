-- The line of the platform's CAs, which was in a file. The platform fills it from its folder when it opens.

-- +goose Up
CREATE TABLE cas (
	number   BIGINT PRIMARY KEY,
	name     TEXT COLLATE "C" NOT NULL, -- of the root
	state    TEXT COLLATE "C" NOT NULL,
	root     BYTEA NOT NULL, -- certificates and list in DER
	issuer   BYTEA NOT NULL,
	crossed  BYTEA, -- the root, signed by the root before it
	root_crl BYTEA,
	since    BIGINT NOT NULL,
	until    BIGINT NOT NULL,
	step     BIGINT NOT NULL -- of the line, with which the row was written
);
CREATE UNIQUE INDEX one_in_line ON cas (state) WHERE state IN ('next', 'issuing', 'before');
