package apdu

// MaxChannel is the highest logical channel number (ISO/IEC 7816-4, 5.4.1).
const MaxChannel = 19

// OnChannel returns the class byte cla for logical channel ch, 0 to [MaxChannel]:
// channels 0 to 3 sit in the two low bits, channels 4 to 19 in the further
// interindustry form (4x, or Cx for a proprietary class). Secure messaging is kept.
func OnChannel(cla byte, ch int) byte {
	secure := Secured(cla)
	proprietary := cla & 0x80
	if ch <= 3 {
		out := proprietary | byte(ch)
		if secure {
			out |= 0x04
		}
		return out
	}
	out := proprietary | 0x40 | byte(ch-4)
	if secure {
		out |= 0x20
	}
	return out
}

// ChannelOf is the logical channel that a class byte names.
func ChannelOf(cla byte) int {
	if cla&0x40 != 0 {
		return int(cla&0x0F) + 4
	}
	return int(cla & 0x03)
}

// Secured tells whether a class byte announces secure messaging: bit 3 on channels
// 0 to 3 (as GlobalPlatform writes it, 84), bit 6 on channels 4 to 19.
func Secured(cla byte) bool {
	if cla&0x40 != 0 {
		return cla&0x20 != 0
	}
	return cla&0x0C != 0
}
