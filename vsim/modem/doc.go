// Package modem presents a card as an AT modem on a pseudo-terminal, so that software
// which reaches its SIM through a cellular modem takes it for one.
//
// A [Modem] is the interpreter alone: bytes of the terminal in, bytes of the modem out. It
// knows no clock and no file. [Modem.Serve] joins it to a line, at the line's speed, and
// [Run] makes a pseudo-terminal that any program may open, close and open again.
//
// The commands are those of 3GPP TS 27.007 that reach a SIM (AT+CSIM; AT+CCHO, AT+CGLA and
// AT+CCHC; AT+CRSM), the ones software sends before it does (AT+CPIN?, AT+CFUN, AT+CGSN,
// AT+CIMI, AT+CCID, AT+CMEE), and the basic ones of ITU-T V.250. There is no network behind
// this modem: calls, messages and data are answered with ERROR.
//
// Modems in the field break the specification in known ways. Each way is one row of a
// table, with its source: see [Personality] and [Personalities].
//
// What passes between host and card is never logged, nor put into an error.
package modem
