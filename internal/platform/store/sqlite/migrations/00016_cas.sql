-- The line of the platform's CAs, which was in a file. The platform fills it from its folder when it opens.

-- +goose Up
CREATE TABLE cas (
	number   INTEGER PRIMARY KEY,
	name     TEXT NOT NULL, -- of the root
	state    TEXT NOT NULL,
	root     BLOB NOT NULL, -- certificates and list in DER
	issuer   BLOB NOT NULL,
	crossed  BLOB, -- the root, signed by the root before it
	root_crl BLOB,
	since    INTEGER NOT NULL,
	until    INTEGER NOT NULL,
	step     INTEGER NOT NULL -- of the line, with which the row was written
) STRICT;
CREATE UNIQUE INDEX one_in_line ON cas (state) WHERE state IN ('next', 'issuing', 'before');
