-- Nodes that serve the platform together.

-- +goose Up
CREATE TABLE nodes (
	id          TEXT PRIMARY KEY,
	address     TEXT NOT NULL,
	fingerprint BLOB NOT NULL,
	seen        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
