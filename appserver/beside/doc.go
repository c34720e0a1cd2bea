// Package beside keeps a server that is not written in Go in step with the platform: it writes the
// files that the server reads, makes it read them, and ends the connections of SIMs that are
// not accepted any more. What is particular to a kind of server is a [Server]; a [Keeper] does the rest.
//
// # What it promises
//
//   - A file is replaced in one step, or stays as it is: a full disk costs no CRL.
//   - The order is files, server, connections: a device that comes back at once meets the new rules.
//   - The server may be down at the start, stop and start again; its configuration may be
//     broken for a while. What could not be done is tried again every second, and said once.
//   - What the platform does not answer holds nothing up: the files stay as they are meanwhile.
//   - The limits of [appserver.Options] hold: beyond MaxStale no new connection is let in, by a CA
//     certificate whose key nobody has; beyond CutStale live connections are ended.
package beside
