// Package nginx keeps nginx in step with the platform: its CA certificates and CRLs are kept current and read
// again. Which SIM may come in is asked with each request, by auth_request, of package authz.
//
//	keeper, err := nginx.New(nginx.Options{Middleware: m, Platform: client, Dir: dir})
//	...
//	err = keeper.Prepare(ctx) // before nginx starts: it wants to find the files
//	go keeper.Run(ctx)
//
// [Config] writes the server block that this relies on.
//
// # How it works
//
// The handshake wants a certificate of the platform that is not on a CRL. nginx wants CRLs of all CAs of a
// chain, so the root's is there too. A CRL says nothing of suspended SIMs and superseded certificates,
// and nginx reads it only at a reload, each of which leaves workers behind that finish their requests: so
// reloads are ten seconds apart at least, and each request is asked about. The answer is
// right at once, also on a connection that has been open for long.
//
// # Limits
//
// nginx has no way to end one connection of many. What is one long request, such as an upgraded connection
// (WebSocket) or a long download, and what the stream module forwards, lives on after a revocation
// until it ends by itself. Where that matters let simroot end TLS (package terminator), or HAProxy.
package nginx
