// Package conformance tells whether a card speaks IoT SAFE (GSMA IoT.05): one [Test] for
// each statement of the interface, positive and negative, run against any [card.Card].
//
//	report, err := conformance.Run(ctx, c, conformance.Options{})
//	for _, r := range report.Failures() { … }
//
// The kit knows of a card only what the card says of itself. It reads the application
// information and the list of objects, picks objects that fit each test, and skips a test
// with a reason where the card offers no such thing. It builds every command by hand
// and judges every answer with Go's own cryptography, so that a fault of our client cannot
// hide one of a card.
//
// By default nothing on the card changes. Tests that make a key pair or put a public key
// run only with [Options.Destructive]; they overwrite the keys in containers that the
// card lets a device fill.
//
// Sources differ on some points of the interface. The statements follow the rules that all
// clients known in the field can work with; docs/conformance.md lists them with the
// chapter of the interface description that each comes from.
//
// The package never opens a reader, and it never sees a private key or a secret of the
// card: no command reads one. The exchanges in a report are therefore free of them.
package conformance
