// Package api is the platform's HTTP contract seen from outside: the wire types, the Go
// client, and the sealing of secrets to a recipient. The device agent, the application
// server and the command line use it; the platform implements it.
//
// Every answer is JSON, or newline-delimited JSON for the feed. A refusal is an [Error]
// (RFC 9457, application/problem+json) whose Code is stable and meant for programs, and
// whose Detail tells a person what to do.
//
// The contract carries no private key, no PSK in clear and no SIM key in clear.
package api
