-- The certificates of application servers become known, to be told of by OCSP and revoked with the server.

-- +goose Up
CREATE TABLE app_server_certificates (
	serial     TEXT COLLATE "C" PRIMARY KEY,
	app_server TEXT COLLATE "C" NOT NULL REFERENCES app_servers (id),
	not_after  BIGINT NOT NULL
);
CREATE INDEX certificates_of_app_server ON app_server_certificates (app_server, not_after);
