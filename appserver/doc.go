// Package appserver is the server middleware: linked into an application server, it knows
// which SIM credentials are good right now, checks them in the TLS handshake, tells the
// application which SIM is speaking, and cuts off the revoked.
//
//	m, err := appserver.Open(ctx, appserver.Options{Platform: client, Dir: "/var/lib/app/simroot"})
//	...
//	defer m.Close()
//	if err := m.Ready(ctx); err != nil { ... }
//	inner, err := net.Listen("tcp", ":8883")
//	...
//	ln := m.Listener(inner, m.TLSConfig(&tls.Config{Certificates: own}))
//	for {
//		conn, err := ln.Accept()
//		...
//		id, _ := appserver.IdentityOf(conn)
//	}
//
// [Open] follows the platform's feed into a local replica. A handshake asks only the
// replica: it needs no connection to the platform, and goes on working with what is known
// while the platform cannot be reached ([Status] says how old that is, and
// [Options.MaxStale] sets a limit).
//
// What is accepted. A new handshake needs a certificate that chains to the platform's
// trust anchors, whose exact fingerprint the feed has named, whose credential is
// delivered or active, which is not past its end, and whose SIM is neither suspended nor
// terminated. This holds for resumed sessions too. A live connection is closed as soon as
// its credential is revoked or expires or its SIM is suspended or terminated. A
// superseded credential gets no new connection, but keeps those it has: the device moves
// to its new credential when it connects again.
//
// SIMs with pre-shared keys are let in by [Middleware.PSKListener] (TLS 1.2 and 1.3) and
// [Middleware.DTLSListener], with [Middleware.PSKConfig]. Their secrets come sealed to this middleware, lie
// sealed on disk, and are opened for the moment of a handshake. The package returns a secret
// to nobody but callers of [Middleware.RevealPSK], and never accepts what it does not know.
package appserver
