package apdu

// MaxChannel is the highest logical channel number (ISO/IEC 7816-4, 5.4.1).
const MaxChannel = 19

// OnChannel returns the class byte cla for logical channel ch, 0 to [MaxChannel]:
// channels 0 to 3 sit in the two low bits, channels 4 to 19 in the further
// interindustry form (4x, or Cx for a proprietary class). Command chaining and secure
// messaging are kept, in the words of the form that the channel needs.
func OnChannel(cla byte, ch int) byte {
	out := cla & (proprietary | chaining)
	if ch > 3 {
		if Secured(cla) {
			out |= secureHigh
		}
		return out | further | byte(ch-4)
	}
	switch {
	case cla&further == 0:
		out |= cla & secureLow
	case Secured(cla):
		out |= secureGP
	}
	return out | byte(ch)
}

// Bits of a class byte (ISO/IEC 7816-4, 5.4.1).
const (
	proprietary byte = 0x80
	further     byte = 0x40 // channels 4 to 19
	secureHigh  byte = 0x20 // secure messaging, with further
	chaining    byte = 0x10
	secureLow   byte = 0x0C // secure messaging, without further: three kinds of it
	secureGP    byte = 0x04 // the kind that GlobalPlatform uses
)

// ChannelOf is the logical channel that a class byte names.
func ChannelOf(cla byte) int {
	if cla&further != 0 {
		return int(cla&0x0F) + 4
	}
	return int(cla & 0x03)
}

// Secured tells whether a class byte announces secure messaging: bit 3 or 4 on channels
// 0 to 3 (GlobalPlatform writes 84), bit 6 on channels 4 to 19.
func Secured(cla byte) bool {
	if cla&further != 0 {
		return cla&secureHigh != 0
	}
	return cla&secureLow != 0
}
