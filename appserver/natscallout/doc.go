// Package natscallout lets SIMs into NATS servers, by their auth callout (NATS ADR-26): the server checks a
// client's certificate in TLS, and asks here who may come in and what for. The answer is a user of NATS with
// permissions made from the SIM's ICCID and fleet. When the credential ends the connection is closed, by
// the request KICK of the system account.
//
//	c, err := natscallout.New(natscallout.Options{Middleware: m, Platform: client, URL: "tls://127.0.0.1:4222", Dir: dir})
//	...
//	err = c.Prepare(ctx) // before the server starts: it wants to find the CA certificates
//	err = c.Run(ctx)
//
// [MakeKeys] makes the keys that both sides need, and [Config] the server's configuration.
//
// # How it works
//
// The callout is a client of NATS itself, in the system account: requests come to
// $SYS.REQ.USER.AUTH, and $SYS.REQ.SERVER.ID.KICK ends a connection. Requests and answers are
// encrypted, and an answer is signed with the key that the server takes for the issuer, so
// that nobody else's is believed. Each session that was let in is tracked by server and
// connection number. After a break, or a start in the middle, the sessions that there are come from
// $SYS.REQ.SERVER.ID.CONNZ, which tells the fingerprints of their certificates: those whose
// credential has ended meanwhile are closed then.
//
// # Limits
//
// NATS knows no pre-shared keys; those SIMs come through package terminator, as one user. All clients
// show a certificate, those of the application as well: [MakeKeys] makes one for them. They are listed in
// auth_users, and are not asked about.
package natscallout
