package doctor

import (
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/card/pcsc"
)

// cause is an error whose meaning is known, and the link that is to blame for it when a card
// cannot be opened.
type cause struct {
	err       error
	link      string
	means, do string
}

// causes are found in this order: what is more specific comes first.
var causes = []cause{
	{modem.ErrInUse, linkPort,
		"another program has the modem, and only one can have it at a time",
		"end that program; a usual one is ModemManager (systemctl stop ModemManager)"},
	{modem.ErrSilent, linkModem,
		"nothing that understands AT commands answers on this port",
		"see that the modem is switched on; try its other ports, of which USB modems have several; try another speed (baud=9600 in the card URI)"},
	{modem.ErrNoAccess, linkModem,
		"the modem answers, and has no command that reaches the SIM",
		"update its firmware, or put the SIM into another modem or a card reader"},
	{modem.ErrNoSIM, linkSIM,
		"the modem sees no SIM",
		"insert one the right way round, then restart the modem (AT+CFUN=1,1); some modems have two slots"},
	{modem.ErrPIN, linkSIM,
		"the SIM wants its PIN first",
		"give it to the modem (AT+CPIN), or switch the PIN off (AT+CLCK)"},
	{modem.ErrSIMFailure, linkSIM,
		"the modem has a SIM and cannot work with it",
		"on an eSIM enable a profile; else take the SIM out, insert it again and restart the modem (AT+CFUN=1,1)"},
	{modem.ErrBusy, linkSIM,
		"the modem keeps the SIM to itself for now",
		"wait until it has started (some seconds), then try again"},
	{modem.ErrTimeout, linkModem,
		"the modem has stopped answering",
		"try again; if it stays so, restart the modem"},
	{modem.ErrTorn, linkModem,
		"an answer came that is not whole: the line is noisy, or the modem cuts long answers",
		"try a lower speed, or shorter answers: add answer=50 to the card URI"},
	{modem.ErrBareOK, linkModem,
		"the modem confirms commands without handing on what the SIM answered",
		"if its firmware is known to do so, name a model whose quirks say it (model=NAME in the card URI); else use another modem"},

	{pcsc.ErrUnsupported, linkPort,
		"this program reaches PC/SC readers on Linux only",
		"run it on Linux, or reach the card by modem: or tcp:"},
	{pcsc.ErrNoService, linkPort,
		"the PC/SC service, through which readers are reached, does not run",
		"install and start it: apt-get install pcscd libpcsclite1; systemctl start pcscd.socket"},
	{pcsc.ErrNoReader, linkModem,
		"the PC/SC service runs and sees no such reader",
		"plug the reader in; see its name with pcsc_scan; a USB reader needs a driver (apt-get install libccid)"},
	{pcsc.ErrNoCard, linkSIM,
		"the reader is empty, or what is in it does not answer",
		"insert the SIM, contacts towards the reader's; small ones need an adapter"},
	{pcsc.ErrCardRemoved, linkSIM,
		"the SIM was taken out",
		"insert it again and leave it there"},
	{pcsc.ErrReset, linkSIM,
		"another program uses the card at the same time and has reset it",
		"end that program, then try again"},

	{fs.ErrPermission, linkPort,
		"this user may not open it",
		"give the user access: for a serial port add it to the group that owns it (adduser USER dialout) and log in again"},
	{fs.ErrNotExist, linkPort,
		"there is nothing of that name",
		"see what there is (ls /dev/tty*; pcsc_scan) and name that"},
	{syscall.ECONNREFUSED, linkPort,
		"the machine is there, and nothing listens on that port",
		"start what should listen there, or name the right port"},
	{syscall.ENETUNREACH, linkPort,
		"this device has no network that leads there",
		"bring the network up: is there an address (ip addr) and a default route (ip route)?"},
	{syscall.EHOSTUNREACH, linkPort,
		"the network cannot reach that machine",
		"check the address and the route to it"},
}

// causeOf is what is known of an error, nil if nothing.
func causeOf(err error) *cause {
	var firmware *modem.FirmwareError
	if errors.As(err, &firmware) {
		return &cause{modem.ErrNoAccess, linkModem,
			"the modem's firmware is older than the first one that reaches the SIM, " + firmware.Wants,
			"update the modem's firmware to " + firmware.Wants + " or newer, or put the SIM into another modem or a card reader"}
	}
	for n := range causes {
		if errors.Is(err, causes[n].err) {
			return &causes[n]
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return &noName
	}
	return nil
}

var noName = cause{nil, linkPort,
	"the name of that machine cannot be resolved",
	"check the name, and that the device has a name server (/etc/resolv.conf) that it can reach"}
