-- +goose Up
CREATE TABLE campaigns (
	id      TEXT PRIMARY KEY,
	fleet   TEXT NOT NULL REFERENCES fleets (name),
	kind    TEXT NOT NULL,
	state   TEXT NOT NULL,
	canary  INTEGER NOT NULL,
	reason  TEXT NOT NULL,
	note    TEXT NOT NULL,
	actor   TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX open_campaigns ON campaigns (fleet) WHERE state IN ('running', 'paused');

-- What has become of a SIM; one that has not come yet has no row.
CREATE TABLE campaign_sims (
	campaign   TEXT NOT NULL REFERENCES campaigns (id),
	iccid      TEXT NOT NULL REFERENCES sims (iccid),
	state      TEXT NOT NULL,
	attempts   INTEGER NOT NULL,
	problem    TEXT NOT NULL,
	credential TEXT NOT NULL,
	updated    INTEGER NOT NULL,
	PRIMARY KEY (campaign, iccid)
) STRICT, WITHOUT ROWID;
CREATE INDEX campaign_results ON campaign_sims (campaign, state, iccid);

CREATE INDEX active_of_fleet ON credentials (fleet, created, iccid) WHERE state = 'active';

-- The set of trust anchors that the SIM is known to hold.
ALTER TABLE sims ADD COLUMN anchors TEXT NOT NULL DEFAULT '';
CREATE INDEX anchors_of_fleet ON sims (fleet, anchors, iccid) WHERE state IN ('provisioned', 'suspended');
