// Package uicc is the operating side of a virtual SIM (ETSI TS 102 221, ISO/IEC 7816-4):
// the answer to reset, logical channels, selection, the few files that every reader asks
// for, and the T=0 rule that answer data without Le waits for GET RESPONSE.
//
// What the card is good for is in its applications ([App]); this package passes them the
// commands that belong to them and knows nothing of their words.
package uicc
