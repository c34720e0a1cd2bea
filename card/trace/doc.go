// Package trace writes down what passes between a program and a card, without the secrets,
// and plays it back: the scheme "trace:" of package card.
//
//	c = trace.Record(c, file)                        // any card.Conn
//	c, err := card.Open(ctx, "trace:session.trace")  // the session as a card
//
// # The format
//
// A trace is text, a line for a command, an answer or a failure:
//
//	# simroot trace 1
//	0.000102 > 01A4040007A0000005590010
//	0.012871 < 9000
//	0.013020 > 8184000010
//	0.020411 < XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX9000
//	0.021000 > 812B8001029E00
//	0.521377 ! failed: the modem did not answer in time
//
// First the seconds since the recording began, with six decimals. Then > for a command, < for the
// answer to it, or ! for the reason why there is none. Then the bytes in hexadecimal,
// capital letters, no blanks; XX stands for a byte that is not told. Lines that are empty or begin with
// # are comments; the first line names the version of the format.
//
// # What is not told
//
// What each instruction carries decides, see mask.go. Never written are:
// answers to GET RANDOM, COMPUTE DH, PRF, HKDF and AUTHENTICATE; the secret inputs of PRF and HKDF (tags D1
// and D4); PINs; what is written to files and what is read from them, EF.ICCID and EF.DIR
// apart; the data of instructions that are not known here, in both directions, so that a
// command of a maker's own, or one that encrypts, gives nothing away. Traffic of
// an SCP03 session is written as far as it is enciphered. Headers, lengths and status
// words always show, and so do certificates, public keys, signatures, identifiers and the
// ICCID: a trace has no secrets, but it tells whose SIM it was.
package trace
