package pcsc

// tpdu is the form in which T=0 carries a command (ISO/IEC 7816-3, 12.2): always a header
// of five bytes, then data or nothing. It may return a part of command.
func tpdu(command []byte) []byte {
	switch {
	case len(command) == 4: // case 1: P3 = 00
		return append(command[:4:4], 0)
	case len(command) > 5 && len(command) == 5+int(command[4])+1: // case 4: no Le
		return command[:len(command)-1]
	default: // cases 2 and 3
		return command
	}
}
