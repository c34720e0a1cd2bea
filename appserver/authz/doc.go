// Package authz answers other servers over HTTP: may the client with this certificate come in, and which
// SIM is it? It is for servers that end TLS themselves and can ask: nginx (auth_request), Traefik,
// Caddy and Envoy (forward authentication), EMQX and VerneMQ (HTTP authentication), or anything that sends
// JSON. The contract is docs/servers/http-authorisation.md.
//
// Answers come from the replica, in microseconds, without asking the platform. What is not known, cannot
// be read or comes too fast is denied.
//
// Whoever asks is believed that it has seen the client prove possession of the key: [Listen] lets only
// this machine ask, or who holds a token or a certificate.
package authz
