// Package dtls is DTLS 1.2 (RFC 6347) authenticated by a pre-shared key that never leaves
// its keeper: [psktls.DTLS] on a network.
//
// [Client] lays it over a connected UDP socket, [Listen] serves all peers of one. A [Conn] is a
// [net.Conn] that keeps datagrams apart: each Write is one, each Read returns one. As with
// UDP they may be lost and change their order; they are not repeated, forged or read. What psktls
// says about keys, suites and [psktls.Config] holds here too; versions of TLS aside.
//
// A server knows its peers by their addresses, or, with [Config.ConnectionIDs], by an id in
// each record (RFC 9146): a client whose address has changed keeps its session then, and spares itself a handshake.
// The server follows it to the new address on the word of a record that is authentic and newer than
// all before, and sends no more than three times as much there as has come from there, until the
// application knows better ([Conn.AddressProven]). A client is bound to its server's address.
//
// The handshake copes with loss: it repeats its messages after 1, 2, 4 … 60 seconds and gives
// up after about two minutes ([psktls.ErrDTLSTimeout]). That is also how a wrong key or an
// unknown identity shows, since whatever is not authentic is passed over. Bound it with a
// context or a deadline. A server remembers nothing of a client until that has shown,
// by returning a cookie, that its address is its own.
package dtls
