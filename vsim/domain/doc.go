// Package domain is the issuer security domain of a virtual SIM (GlobalPlatform Card
// Specification 2.3.1 with Amendment D): it opens a secure channel (SCP03: AES, S8, i=70)
// to whoever holds the card's keys, and passes what comes through it to the application
// that is being personalised ([Personalized]).
//
// # What it keeps
//
// The sequence counter rises by one with each INITIALIZE UPDATE and is on disk before the
// answer leaves, so that no card challenge is ever used twice.
//
// The failed-authentication counter rises with each EXTERNAL AUTHENTICATE that does not
// prove the keys, and is on disk before the refusal leaves. A successful one sets it back
// to zero. At [MaxFailed] the key set is blocked for good: INITIALIZE UPDATE answers 6983.
// Nothing but a new card image lifts that.
//
// # What it demands
//
// Levels 01, 03, 11, 13 and 33 open a session. INSTALL [for personalization] and STORE DATA need
// C-MAC, C-DECRYPTION and R-MAC, which is level 13 or 33: the host must be able to trust
// the answers, and the device that carries the commands must not be able to read them.
// While a session is open, a command on its channel that does not carry a right MAC ends it.
//
// The session belongs to its logical channel. It ends with SELECT or the closing of that
// channel, with a reset, and with INITIALIZE UPDATE on any channel.
package domain
