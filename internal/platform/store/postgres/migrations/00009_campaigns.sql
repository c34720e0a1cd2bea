-- +goose Up
CREATE TABLE campaigns (
	id      TEXT COLLATE "C" PRIMARY KEY,
	fleet   TEXT COLLATE "C" NOT NULL REFERENCES fleets (name),
	kind    TEXT COLLATE "C" NOT NULL,
	state   TEXT COLLATE "C" NOT NULL,
	canary  BIGINT NOT NULL,
	reason  TEXT COLLATE "C" NOT NULL,
	note    TEXT COLLATE "C" NOT NULL,
	actor   TEXT COLLATE "C" NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);
CREATE INDEX open_campaigns ON campaigns (fleet) WHERE state IN ('running', 'paused');

-- What has become of a SIM; one that has not come yet has no row.
CREATE TABLE campaign_sims (
	campaign   TEXT COLLATE "C" NOT NULL REFERENCES campaigns (id),
	iccid      TEXT COLLATE "C" NOT NULL REFERENCES sims (iccid),
	state      TEXT COLLATE "C" NOT NULL,
	attempts   BIGINT NOT NULL,
	problem    TEXT COLLATE "C" NOT NULL,
	credential TEXT COLLATE "C" NOT NULL,
	updated    BIGINT NOT NULL,
	PRIMARY KEY (campaign, iccid)
);
CREATE INDEX campaign_results ON campaign_sims (campaign, state, iccid);

CREATE INDEX active_of_fleet ON credentials (fleet, created, iccid) WHERE state = 'active';

-- The set of trust anchors that the SIM is known to hold.
ALTER TABLE sims ADD COLUMN anchors TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX anchors_of_fleet ON sims (fleet, anchors, iccid) WHERE state IN ('provisioned', 'suspended');
