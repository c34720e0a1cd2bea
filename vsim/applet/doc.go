// Package applet is the IoT SAFE applet of the virtual SIM: the card side of GSMA IoT.05,
// and the interpreter of simroot's personalisation language (package perso).
//
// It keeps a store of containers, its [State], which its owner makes durable:
//
//	state, err := applet.NewState(1, profile...)
//	a := applet.New(state, iccid, image.SaveApplet)
//
// Every change goes through the commit function and is answered with success only after
// that returned; a change that cannot be made durable is not made at all and is answered
// 6581. Signing, reading and random numbers never write.
//
// The applet obeys the rules under which all known clients in the field work. Class
// bytes 0n and 8n are both taken; GET RESPONSE, 61xx and logical channels are the
// business of the card's operating system (package vsim/uicc), and the secure channel of
// personalisation is that of its security domain (package vsim/domain). It is not safe
// for concurrent use: a card does one thing at a time.
//
// # Remote administration
//
// From the first block of a personalisation to its last, device commands on objects that
// it has touched answer 6984, and GENERATE KEY PAIR answers so on every object, since
// the sequence works on a copy of the store. After the commit, the first device command
// on a touched object answers 63CF instead of 9000, or 6989 instead of an error. Each
// logical channel is told so once, since the clients on them do not know of each other. A
// signature session that was open on a touched key fails.
//
// These notices are not persisted: a reset closes all channels, so that every client
// selects and reads anew. An aborted sequence changed nothing and leaves no notices.
// Commands that name no object (the application information, the list, random numbers)
// neither wait for a personalisation nor report one.
//
// # Choices where the interface leaves one
//
// A label that several objects bear means the active one. A key pair is a private and a
// public key with the same label, or without labels the same identifier. GENERATE KEY
// PAIR needs the key generation function on both halves and activates them; a volatile
// pair is never written and ends with a reset. An unknown object is 6A82. Only one UPDATE
// is taken for a signature, in modes 01 and 03.
package applet
