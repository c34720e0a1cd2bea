// Package explain says in words what a terminal and a SIM tell each other: every command
// and answer of the IoT SAFE applet, and those of GlobalPlatform, of simroot's
// personalisation and of the UICC that go with them.
//
//	s := explain.New(explain.Options{})
//	fmt.Print(s.Command(command))
//	fmt.Print(s.Answer(answer))
//
// A [Session] follows a conversation, since much is told only by what came before: what
// an answer answers, which data GET RESPONSE fetches, how a secure channel protects what
// follows, which certificate the blocks of a file make up. A command or an answer alone is explained
// as far as it goes. [Read] finds commands and answers in text.
//
// What may be secret is told by its length alone, unless [Options] say otherwise:
// premasters, salts, derived and random bytes, keys, personal numbers, and all that the
// package does not know. It opens no card and no channel, so that it sees of a
// protected command only its outside.
//
// All is table: an instruction is a row of the table in instructions.go, a field a row of those
// in fields.go, a status word one of those in status.go. Chapters "IoT SAFE 3.x" are
// those of the applet's interface as docs/applet.md counts them.
package explain
