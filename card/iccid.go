package card

import (
	"context"
	"fmt"

	"github.com/simroot/simroot/apdu"
)

// ICCID is the number that identifies a SIM (ITU-T E.118): 18 to 20 decimal digits.
// The check digit is not verified: issuers in the field do not all keep it.
type ICCID string

// ParseICCID reads an ICCID written in digits.
func ParseICCID(s string) (ICCID, error) {
	if len(s) < 18 || len(s) > 20 {
		return "", fmt.Errorf("ICCID %q has %d digits: want 18 to 20", s, len(s))
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return "", fmt.Errorf("ICCID %q: want decimal digits only", s)
		}
	}
	return ICCID(s), nil
}

// File is the content of EF.ICCID: ten bytes, digits swapped, F-filled (ETSI TS 102 221, 13.2).
func (n ICCID) File() [10]byte {
	var out [10]byte
	for i := range out {
		out[i] = n.digit(2*i+1)<<4 | n.digit(2*i)
	}
	return out
}

func (n ICCID) digit(i int) byte {
	if i >= len(n) {
		return 0x0F
	}
	return n[i] - '0'
}

// DecodeICCID reads the content of EF.ICCID.
func DecodeICCID(file []byte) (ICCID, error) {
	if len(file) != 10 {
		return "", fmt.Errorf("EF.ICCID has %d bytes: want 10", len(file))
	}
	var digits []byte
	for _, b := range file {
		for _, d := range [2]byte{b & 0x0F, b >> 4} {
			if d > 9 { // filler
				return ParseICCID(string(digits))
			}
			digits = append(digits, '0'+d)
		}
	}
	return ParseICCID(string(digits))
}

// ReadICCID reads EF.ICCID on logical channel ch (0 is always open) and leaves that file
// selected there.
func ReadICCID(ctx context.Context, c Card, ch int) (ICCID, error) {
	cla := apdu.OnChannel(0, ch)
	if err := selectICCID(ctx, c, cla); err != nil {
		return "", fmt.Errorf("select EF.ICCID: %w", err)
	}
	content, err := Do(ctx, c, apdu.Command{CLA: cla, INS: 0xB0, Le: 10})
	if err != nil {
		return "", fmt.Errorf("read EF.ICCID: %w", err)
	}
	return DecodeICCID(content)
}

// selectICCID selects EF.ICCID by its path from the MF, or, on a card that knows no paths,
// file by file (ETSI TS 102 221, 11.1.1).
func selectICCID(ctx context.Context, c Card, cla byte) error {
	byPath := apdu.Command{CLA: cla, INS: insSelect, P1: 0x08, P2: 0x0C, Data: []byte{0x2F, 0xE2}}
	r, err := Exchange(ctx, c, byPath)
	if err != nil || r.SW.Succeeded() {
		return err
	}
	for _, file := range [][]byte{{0x3F, 0x00}, {0x2F, 0xE2}} {
		if _, err := Do(ctx, c, apdu.Command{CLA: cla, INS: insSelect, P2: 0x0C, Data: file}); err != nil {
			return err
		}
	}
	return nil
}
