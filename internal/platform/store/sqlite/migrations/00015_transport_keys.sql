-- Transport keys for one batch each.

-- +goose Up
CREATE TABLE transport_keys (
	id      TEXT PRIMARY KEY, -- the public half, hexadecimal
	note    TEXT NOT NULL,
	secret  BLOB, -- the private half, in an envelope, until it is used or expires
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	used    INTEGER NOT NULL, -- 0: not yet
	batch   TEXT NOT NULL  -- what it was used for
) STRICT, WITHOUT ROWID;
