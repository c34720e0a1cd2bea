// Package dtls is DTLS 1.2 (RFC 6347) authenticated by a pre-shared key that never leaves
// its keeper: [psktls.DTLS] on a network.
//
// [Client] lays it over a connected UDP socket, [Listen] serves all peers of one. A [Conn] is a
// [net.Conn] that keeps datagrams apart: each Write is one, each Read returns one. As with
// UDP they may be lost and change their order; they are not repeated, forged or read. What psktls
// says about keys, suites and [psktls.Config] holds here too; versions of TLS aside.
//
// The handshake copes with loss: it repeats its messages after 1, 2, 4 … 60 seconds and gives
// up after about two minutes ([psktls.ErrDTLSTimeout]). That is also how a wrong key or an
// unknown identity shows, since whatever is not authentic is passed over. Bound it with a
// context or a deadline. A server remembers nothing of a client until that has shown,
// by returning a cookie, that its address is its own.
package dtls
