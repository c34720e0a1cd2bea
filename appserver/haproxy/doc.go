// Package haproxy keeps HAProxy (2.6 and later, master-worker mode) in step with the platform: a list
// of the certificates that are accepted, the CA certificates and CRLs, all in the running process
// as well as in files, and the connections of SIMs that are not accepted any more ended.
//
//	keeper, err := haproxy.New(haproxy.Options{Middleware: m, Platform: client, Dir: dir, Master: "/run/haproxy-master.sock"})
//	...
//	err = keeper.Prepare(ctx) // before HAProxy starts: it wants to find the files
//	go keeper.Run(ctx)
//
// [Config] writes the sections of haproxy.cfg that this relies on.
//
// # How it works
//
// accepted.lst holds the SHA-256 of every certificate that is accepted. A connection whose certificate is not
// there is closed after its handshake, and a request on one that has been open for longer is
// refused with 403: deny by default, also for what is superseded, suspended or
// unknown, which a CRL does not tell. Changes go to every worker through the master's command line,
// one entry each, so that nothing is reloaded; workers that only finish their connections after a
// reload hear of them too.
//
// CRLs go the same way if they fit into one command (tune.bufsize, about 250 revoked certificates). For longer
// ones, and for other CA certificates, HAProxy is reloaded, at most every ten seconds.
//
// Each connection stands in a stick table, by certificate and peer. That is where the connections of a SIM are found;
// "shutdown session" ends them.
//
// # Limits
//
// An HTTP connection that is idle between two requests is no session to HAProxy: it stays open and its
// next request is refused.
package haproxy
