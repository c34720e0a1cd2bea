-- +goose Up
ALTER TABLE sims ADD COLUMN attributes TEXT NOT NULL DEFAULT ''; -- JSON
