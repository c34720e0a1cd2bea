-- The certificates of application servers become known, to be told of by OCSP and revoked with the server.

-- +goose Up
CREATE TABLE app_server_certificates (
	serial     TEXT PRIMARY KEY,
	app_server TEXT NOT NULL REFERENCES app_servers (id),
	not_after  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_of_app_server ON app_server_certificates (app_server, not_after);
