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
// # Commands
//
// Every command of IoT.05, with all operation modes, on P-256, brainpoolP256r1 and RSA
// keys and HMAC secrets; and simroot's own services, which are hashing, AES-GCM, AES-CCM
// and RSA-OAEP. Commands that come in INIT and UPDATE are sessions, of which each is a
// task. What each command takes and answers, and every choice where the interface leaves
// one, is in docs/applet.md, whose exchanges the tests replay.
package applet
