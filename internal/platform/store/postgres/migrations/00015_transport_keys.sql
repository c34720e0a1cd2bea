-- Transport keys for one batch each.

-- +goose Up
CREATE TABLE transport_keys (
	id      TEXT COLLATE "C" PRIMARY KEY, -- the public half, hexadecimal
	note    TEXT COLLATE "C" NOT NULL,
	secret  BYTEA, -- the private half, in an envelope, until it is used or expires
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	used    BIGINT NOT NULL, -- 0: not yet
	batch   TEXT COLLATE "C" NOT NULL  -- what it was used for
);
