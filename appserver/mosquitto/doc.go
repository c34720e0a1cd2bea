// Package mosquitto keeps an Eclipse Mosquitto 2.0 broker in step with the platform: it
// writes the files that the broker reads, makes it read them again, and ends the sessions
// of SIMs that are not accepted any more. The broker needs no plugin.
//
//	adapter, err := mosquitto.New(mosquitto.Options{Middleware: m, Platform: client, Dir: dir, PID: mosquitto.PIDFile(pid)})
//	...
//	err = adapter.Prepare(ctx) // before the broker starts: it wants to find the files
//	go adapter.Run(ctx)
//
// [Config] writes the part of mosquitto.conf that this relies on.
//
// # How it works
//
// Three things happen when a SIM is no longer accepted, since none of them is enough with
// Mosquitto 2.0.11:
//
//   - crl.pem is replaced. It refuses a revoked certificate in the next handshake, also
//     in one that would have resumed a session, for the broker forgets its ticket keys
//     when it reads its files again. It does not touch live connections, and says nothing of a
//     suspended SIM. Only the CRL of the issuing CA is needed: Mosquitto asks OpenSSL to
//     check the leaf alone (X509_V_FLAG_CRL_CHECK).
//   - access.acl gets a rule that denies the SIM every topic. It also meets a suspended SIM, and
//     a device that had done its handshake before and sends its CONNECT only after.
//   - The live session is ended by taking it over. A broker must close an existing
//     connection when another one comes with the same client identifier (MQTT 3.1.1,
//     3.1.4-2), and a clean session wipes subscriptions and queued messages. The broker gives
//     every device its ICCID as client identifier (use_username_as_clientid), so the adapter
//     need only connect under that name, on a listener of its own.
//
// The dynamic security plugin was tried and left: with use_identity_as_username a client
// that it has disabled connects and publishes again, since Mosquitto 2.0.11 does not
// ask plugins about a client that a certificate has authenticated; and it wants every SIM
// entered, and rewrites its whole file for each change.
//
// # Pre-shared keys
//
// A Mosquitto listener takes certificates or PSKs, so PSKs have one of their own, and psk.txt
// holds the keys of those that are accepted: in the clear, for that is how Mosquitto wants them, with mode
// 0600, and never longer than the credential is accepted. User name and client identifier of a
// device are then the identity of its PSK, which changes with each rotation; it begins with the ICCID
// and a dot. A PSK that is revoked leaves the file, its identity gets a rule that denies it
// every topic, and its session is taken over. A TLS ticket is no way in: the broker wants
// an identity in each handshake.
//
// # Limits
//
// A device has one session with each credential. A superseded certificate is accepted as long as its SIM has
// another one that is. A suspended SIM may connect, but not say or hear anything.
package mosquitto
