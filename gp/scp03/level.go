package scp03

import "fmt"

// Level says what is protected in a session (P1 of EXTERNAL AUTHENTICATE).
type Level byte

// The parts of a level.
const (
	CMAC Level = 0x01 // commands carry a MAC
	CDEC Level = 0x02 // command data is enciphered
	RMAC Level = 0x10 // answers carry a MAC
	RENC Level = 0x20 // answer data is enciphered

	// Full protects everything: level 33.
	Full = CMAC | CDEC | RMAC | RENC
)

// Has tells whether the level includes all of part.
func (l Level) Has(part Level) bool { return l&part == part }

// Check tells whether the level is one that opens a session: 01, 03, 11, 13 or 33
// (Amendment D, 7.1.2.1).
func (l Level) Check() error {
	switch l {
	case CMAC, CMAC | CDEC, CMAC | RMAC, CMAC | CDEC | RMAC, Full:
		return nil
	}
	return fmt.Errorf("scp03: %s opens no session: want 01, 03, 11, 13 or 33", l)
}

func (l Level) String() string { return fmt.Sprintf("security level %02X", byte(l)) }
