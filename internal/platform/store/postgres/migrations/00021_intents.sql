-- Certificates are signed before the transaction that stores them, and leave after it: what the CA is
-- about to sign need not be known before.

-- +goose Up
DROP TABLE intents;
