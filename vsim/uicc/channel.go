package uicc

import "github.com/simroot/simroot/apdu"

// highestOffered is the highest channel that the card hands out by itself. Clients in the
// field put any number into the two low bits of the class byte, so that a channel above 3 would
// lead them astray; who can speak on channels 4 to 19 may open them by number.
const highestOffered = 3

// manageChannel is MANAGE CHANNEL (ETSI TS 102 221, 11.1.17) received on channel n.
func (u *UICC) manageChannel(n int, c apdu.Command) apdu.Response {
	if len(c.Data) > 0 {
		return refuse(apdu.WrongLength)
	}
	switch c.P1 {
	case 0x00:
		return u.openChannel(int(c.P2))
	case 0x80:
		return refuse(u.closeChannel(n, int(c.P2)))
	}
	return refuse(apdu.WrongP1P2)
}

// openChannel opens the channel with the given number; 0 leaves the choice to the card,
// whose answer is the number.
func (u *UICC) openChannel(number int) apdu.Response {
	if number > apdu.MaxChannel {
		return refuse(apdu.WrongP1P2)
	}
	if number > 0 {
		if u.channels[number] != nil {
			return refuse(apdu.ChannelNotSupported)
		}
		u.channels[number] = &channel{}
		return refuse(apdu.OK)
	}
	for i := 1; i <= highestOffered; i++ {
		if u.channels[i] == nil {
			u.channels[i] = &channel{}
			return apdu.Response{Data: []byte{byte(i)}, SW: apdu.OK}
		}
	}
	return refuse(apdu.FunctionNotSupported)
}

// closeChannel closes a channel at the wish of the basic channel or of the channel itself.
// A channel that is not open is an error, because at least one client closes channels
// until one is.
func (u *UICC) closeChannel(from, number int) apdu.SW {
	if number == 0 {
		number = from
	}
	switch {
	case number == 0 || number > apdu.MaxChannel:
		return apdu.WrongP1P2
	case u.channels[number] == nil:
		return apdu.ChannelNotSupported
	case from != 0 && from != number:
		return apdu.ConditionsNot
	}
	app := u.channels[number].app
	u.channels[number] = nil
	if app != nil {
		app.Deselect(number)
	}
	return apdu.OK
}
