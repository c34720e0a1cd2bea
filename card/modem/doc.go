// Package modem reaches the SIM in a modem by AT commands on a serial line
// (3GPP TS 27.007): the scheme "modem:" of package card.
//
//	c, err := card.Open(ctx, "modem:/dev/ttyUSB2")
//	c, err := card.Open(ctx, "modem:/dev/ttyS1?baud=9600&mode=cgla")
//
// The part behind the question mark may hold:
//
//	baud=N           the line's speed; 115200 if not given
//	mode=csim|cgla   how APDUs travel; found out if not given
//	model=NAME       use the quirks of this model, whatever the modem says it is
//	answer=N         the modem cuts answers that carry more than N bytes of data
//	leftover=close   close logical channels 1 to 3 first (see below)
//	lock=DIR         where the lock file is; the system's folder if not given
//
// # Two ways to the SIM
//
// AT+CSIM passes an APDU to the SIM as it is. It is preferred where a modem offers both,
// because every client known from the field uses it, so that it is what modems are
// tried with. Logical channels are the card's own, and the class byte names them.
//
// With AT+CCHO and AT+CGLA the modem keeps the channels: it opens one by AID, gives out
// a handle, which may be any number, and writes the channel into the class byte by
// itself. [Card] translates, so that the layers above notice nothing:
//
//	MANAGE CHANNEL open    answered here with the lowest free number, 1 to 19; the modem is not asked
//	SELECT by AID          AT+CCHO; the handle that came back belongs to this number from now on
//	SELECT by AID again    AT+CCHC for the old handle, then as above
//	any other command      AT+CGLA with the handle, in the class of channel 0
//	MANAGE CHANNEL close   AT+CCHC, and the number is free again
//	on channel 0           AT+CSIM where it exists. Where it does not, files under the MF are read
//	                       by AT+CRSM, which is enough for the ICCID
//
// The modem does not hand on what SELECT answered: it is 9000 without data, or
// 6A82 if the modem said that there is no such application.
//
// # What can be relied on
//
// Every exchange has a deadline, and ends with its context. An answer that comes too late
// is never taken for the answer to a later command: after an exchange that was given up
// the line is brought back into step first, with a query whose answer cannot be mistaken for any other.
// Unsolicited lines, echo, missing quotes and blanks do no harm. 61xx and 6Cxx are left
// to [apdu.Exchange].
//
// What differs between modems is in one table, [Quirks], each row with its source.
//
// One process has a modem at a time: an UUCP lock file (LCK..ttyUSB2) keeps others
// out, those that honour such files and other processes of this package.
//
// Channels that were opened through a [Card] are closed with it. Those of a process that was
// killed are closed by the next one that opens the modem: they stand in the lock file that
// it left. Other channels stay, unless leftover=close asks for them to be closed. That is
// not the default: over AT+CSIM nobody can tell such a channel from one that
// the modem itself uses, for IMS or for a toolkit application, and closing that takes the
// modem off the network until it is restarted.
package modem
