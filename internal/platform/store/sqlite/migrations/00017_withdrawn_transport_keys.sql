-- Transport keys for one batch each may be withdrawn before they are used.

-- +goose Up
ALTER TABLE transport_keys ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0; -- 0: not
