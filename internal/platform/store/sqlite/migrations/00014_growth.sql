-- Lists that are restricted to a state or a fleet find their page without reading the others' rows.

-- +goose Up
CREATE INDEX sims_by_state ON sims (state, iccid);
CREATE INDEX credentials_by_state ON credentials (state, id);
CREATE INDEX credentials_of_fleet ON credentials (fleet, id);
