-- Batches of SIMs. Those of a batch that is loading are there for nobody else yet.

-- +goose Up
CREATE TABLE batches (
	id        TEXT COLLATE "C" PRIMARY KEY,
	fleet     TEXT COLLATE "C" NOT NULL REFERENCES fleets (name),
	state     TEXT COLLATE "C" NOT NULL,
	imported  BIGINT NOT NULL,
	rejected  BIGINT NOT NULL,
	announced TEXT COLLATE "C" NOT NULL, -- the last ICCID that is on the feed
	updated   BIGINT NOT NULL
);
ALTER TABLE sims ADD COLUMN batch TEXT COLLATE "C" NOT NULL DEFAULT '';
