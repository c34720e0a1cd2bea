package uicc

import "github.com/simroot/simroot/apdu"

// App is an application on the card. The card calls it one call at a time.
type App interface {
	// AIDs are the names under which SELECT finds the application, 5 to 16 bytes each.
	AIDs() [][]byte

	// Select is called when SELECT names the application on logical channel ch, also
	// when it is selected there already. It returns the file control information, which
	// may be nil. If sw is not success, the application is not selected.
	Select(ch int) (fci []byte, sw apdu.SW)

	// Process answers a command addressed to the application on ch. The command carries
	// its class byte as received. The card itself handles SELECT, MANAGE CHANNEL and GET
	// RESPONSE: an application returns all its data at once.
	Process(ch int, c apdu.Command) apdu.Response

	// Deselect is called when something else is selected on ch, or ch is closed.
	Deselect(ch int)

	// Reset is called on power-up and on reset: everything volatile is gone.
	Reset()
}
