-- Nodes that serve the platform together.

-- +goose Up
CREATE TABLE nodes (
	id          TEXT COLLATE "C" PRIMARY KEY,
	address     TEXT COLLATE "C" NOT NULL,
	fingerprint BYTEA NOT NULL,
	seen        BIGINT NOT NULL
);
