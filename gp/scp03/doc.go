// Package scp03 is GlobalPlatform's Secure Channel Protocol 03 (Card Specification 2.3.1,
// Amendment D) in S8 mode: how somebody who shares three AES keys with a card proves it
// and then sends it commands that nobody between can read, change, repeat or reorder.
//
// Both ends are here, so that each tests the other and both are held to the same vectors.
// [Host] is the side of the platform:
//
//	h, err := scp03.NewHost(keys, 0x30, challenge)
//	… send h.InitializeUpdate()
//	authenticate, err := h.Authenticate(answer, scp03.Full)
//	… send authenticate, want 9000
//	wrapped, err := h.Wrap(command)    // several may be wrapped ahead
//	answer, err := h.Unwrap(response)  // in the order of the commands
//
// [Card] is the side of a security domain.
//
// Commands are given on the basic channel. Channel bits of the class byte are under no MAC, so
// that whoever carries the commands may put them on any logical channel.
//
// The package sends nothing and stores nothing. No type of it prints a key.
package scp03
