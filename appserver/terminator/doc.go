// Package terminator ends TLS, TLS-PSK, DTLS and DTLS-PSK for servers that can do none of it, or know
// nothing of SIMs. What a SIM sends is forwarded in plain to the server behind, over TCP or UDP, with the SIM's
// identity in front of it if the server wants to know: as PROXY protocol version 2, or for HTTP as
// header fields. Who is not accepted by the platform never reaches that server, and is cut off from it when
// that ends.
//
//	t, err := terminator.Listen(terminator.Options{Middleware: m, Certificate: own.Get, Ways: []terminator.Way{
//		{Kind: terminator.TLS, Tell: terminator.ProxyV2, Listen: ":8883", Backend: "127.0.0.1:1883"},
//	}})
//	...
//	err = t.Run(ctx)
//
// The server behind must be out of reach for others than the terminator: it believes what it is told.
//
// # Ports
//
// Each way has a port and a kind of credential of its own. One port for certificates and
// pre-shared keys alike would take another handshake than those of crypto/tls and psktls, each of which
// knows one of the two.
//
// # PROXY protocol
//
// Version 2 of HAProxy's PROXY protocol tells the addresses of the client and of the terminator, and these
// values: 0x02 (AUTHORITY), the name that the client asked for; 0x20 (SSL), with the version, the cipher
// suite, and of a certificate the common name; and from the range for custom use
//
//	0xE0  ICCID of the SIM, digits
//	0xE1  fleet
//	0xE2  ID of the credential
//
// Over TCP it comes once, before all else. Over UDP each session has a source port of its own towards the
// server; the header is put in front of the first datagram of a session, or of every one.
package terminator
