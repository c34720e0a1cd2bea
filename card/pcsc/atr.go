package pcsc

// protocols are the transmission protocols that an answer to reset offers, by number, in
// its order (ISO/IEC 7816-3, 8.2.3): those named by TD1, TD2 and so on, 15 left out, which
// names none. An answer that names none offers T=0.
func protocols(atr []byte) []int {
	if len(atr) < 2 {
		return nil
	}
	var offered []int
	at, indicator := 2, atr[1] // T0, then each TD: its high half says what follows
	for indicator&0x80 != 0 {
		for bit := byte(0x10); bit < 0x80; bit <<= 1 { // TA, TB, TC
			if indicator&bit != 0 {
				at++
			}
		}
		if at >= len(atr) {
			return offered // cut
		}
		indicator = atr[at]
		at++
		if t := int(indicator & 0x0F); t != 15 && (len(offered) == 0 || offered[len(offered)-1] != t) {
			offered = append(offered, t)
		}
	}
	if len(offered) == 0 {
		offered = []int{0}
	}
	return offered
}
