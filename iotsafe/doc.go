// Package iotsafe is the GSMA's IoT SAFE interface (IoT.05) in Go: the objects a SIM's
// applet keeps, and every command as one typed call.
//
// [Select] finds the applet on a card and returns a client, [Applet]:
//
//	applet, err := iotsafe.Select(ctx, card)
//	defer applet.Close(ctx)
//	public, err := applet.PublicKey(ctx, publicID)
//	signer := applet.Signer(ctx, privateID, public) // a crypto.Signer whose key never leaves the SIM
//
// The object model, its tags and masks, is shared with the card side (package
// vsim/applet), so that both read and write it with the same code.
//
// Identifiers and labels are byte strings ([ID] 1 to 20 bytes, label up to 60); nothing
// here turns them into numbers. Clause numbers in comments are those of IoT.05 as far as
// public sources cite them.
//
// The package never sees a private key or a secret: there is no call that returns one.
package iotsafe
