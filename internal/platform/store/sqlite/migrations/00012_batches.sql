-- Batches of SIMs. Those of a batch that is loading are there for nobody else yet.

-- +goose Up
CREATE TABLE batches (
	id        TEXT PRIMARY KEY,
	fleet     TEXT NOT NULL REFERENCES fleets (name),
	state     TEXT NOT NULL,
	imported  INTEGER NOT NULL,
	rejected  INTEGER NOT NULL,
	announced TEXT NOT NULL, -- the last ICCID that is on the feed
	updated   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE sims ADD COLUMN batch TEXT NOT NULL DEFAULT '';
