// Package psktls is TLS 1.2 and TLS 1.3 whose keys never leave their keeper: authenticated by a
// pre-shared key, and, for a client of TLS 1.3 whose key exchange is its keeper's business
// too, by certificates.
//
// [Client] and [Server] lay TLS over a [net.Conn]; the [Conn] they return is a net.Conn
// in turn. What both sides share is a [Key] under a name, the identity. A Key does two
// things with its secret and gives the secret to nobody: a SIM can be one (COMPUTE PRF,
// COMPUTE HKDF), so can an HSM behind a server, and [SecretKey] is one in memory.
//
//	conn, err := psktls.Dial(ctx, "tcp", "example.net:8883", &psktls.Config{
//		Identity: []byte("8944501234567890123"),
//		Key:      key,
//	})
//
// # What it speaks
//
// TLS 1.3 (RFC 8446) with an external PSK and psk_dhe_ke, with psk_ke when
// [Config.AllowPSKOnly] is set. TLS 1.2 (RFC 5246) with ECDHE_PSK (RFC 5489, 8442, 7905),
// and PSK (RFC 4279, 5487, 6655, 7905) when AllowPSKOnly is set. AEAD suites only.
// Extended master secret (RFC 7627) whenever the peer knows it. DTLS 1.2 (RFC 6347) with the
// suites of TLS 1.2 and connection ids (RFC 9146) in package psktls/dtls, whose engine is [DTLS].
//
// It never speaks anything below TLS 1.2, never compresses, renegotiates, resumes or
// sends data before the handshake is complete (0-RTT).
//
// # Ephemeral keys, and certificates
//
// crypto/tls can have a key sign that is elsewhere, but it makes its ephemeral keys itself, in
// memory. Here they are behind an interface in TLS 1.3: a [KeyExchange] makes an [EphemeralKey],
// which derives the handshake secret and shows neither private key nor shared secret. What it
// gives opens this one session. Without [Config.KeyExchange] the keys are in memory, and the
// handshake goes the same way.
//
// So that this serves clients without a PSK, [Config.Certificates] puts certificates in its
// place (RFC 8446, 4.4): the server's is verified, the client's is signed for by any
// crypto.Signer. It is for clients of TLS 1.3 only. Where the ephemeral key may be in memory,
// use crypto/tls.
//
// # What a key gives away
//
// A Key keeps the secret, but what it computes goes to the host, and the host may be
// taken over. The two versions of TLS differ in what the thief of such a result has won:
//
//   - TLS 1.2 asks for a master secret. It depends on both sides' random values, or with
//     the extended master secret on the whole handshake, and for ECDHE_PSK on the
//     ephemeral keys as well. It opens this one session and no other: whoever has it
//     cannot authenticate a second time without the key.
//   - TLS 1.3 asks for the early secret, HKDF-Extract(0, PSK). It depends on nothing but
//     the PSK and the hash. Whoever has seen it once can be client or server in every
//     later TLS 1.3 session with that PSK and that hash, for ever, without the SIM; only
//     the PSK itself, other hashes and TLS 1.2 are still out of reach. With psk_dhe_ke
//     recorded sessions stay closed even then; with psk_ke they open.
//
// So where the threat is the host (malware on a device), limit [Config.MaxVersion] to TLS
// 1.2 with ECDHE_PSK: a stolen device without its SIM is then worth nothing. Where the
// threat is the line, TLS 1.3 is the better protocol: it encrypts more of the handshake,
// though it too sends the identity in the clear.
//
// # How keys must be made and shared (RFC 9257)
//
//   - A PSK has at least 128 bits of entropy. A password is no PSK: binders and Finished
//     messages of one recorded handshake let anybody try passwords at leisure, and
//     psk_dhe_ke does not prevent it.
//   - A PSK belongs to one pair: one client and one server, and these keep their roles.
//     If a party uses one PSK in both roles, an attacker can reflect its own
//     messages to it (the Selfie attack). If three share one, each can play each other.
//   - A PSK is used with one hash in TLS 1.3 ([Config.Hash]), and strictly with one
//     version of TLS as well. There is no known attack on a PSK that is used both with
//     TLS 1.2 and 1.3, and no proof that there is none. RFC 9258 derives a key
//     of its own for each use ([Import]); both sides must agree on doing so.
//   - Identities are sent in the clear: they allow a device to be followed, and must not
//     hold what must not be known. A server learns nothing about a client from an identity
//     before the handshake is complete, and must not act on it.
//   - A server treats an unknown identity as a known one with a wrong key, so that
//     identities cannot be sounded out by answers. The time that Config.GetKey and
//     the Key need can still tell: keep it alike.
package psktls
