package modem

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// FirmwareError says that the modem has no way to the SIM, and that a newer firmware of
// the model has one. It is an [ErrNoAccess].
type FirmwareError struct {
	Has   string // the modem's answer to AT+CGMR
	Wants string // the first version with a way to the SIM
}

func (e *FirmwareError) Error() string {
	return fmt.Sprintf("the modem's firmware %s has no way to the SIM: update it to %s or newer", e.Has, e.Wants)
}

// Unwrap is [ErrNoAccess].
func (e *FirmwareError) Unwrap() error { return ErrNoAccess }

// noAccess is what to say of a modem without a way to the SIM.
func (c *Card) noAccess() error {
	if olderThan(c.info.Firmware, c.quirk.MinFirmware) {
		return &FirmwareError{Has: c.info.Firmware, Wants: c.quirk.MinFirmware}
	}
	return ErrNoAccess
}

// versions are numbers with points between them.
var versions = regexp.MustCompile(`\d+(?:\.\d+)+`)

// olderThan compares the last version number in what a modem says of its firmware. What
// has none is not known to be older than anything.
func olderThan(firmware, wanted string) bool {
	has, wants := version(firmware), version(wanted)
	return has != nil && wants != nil && slices.Compare(has, wants) < 0
}

func version(s string) []int {
	found := versions.FindAllString(s, -1)
	if len(found) == 0 {
		return nil
	}
	var numbers []int
	for part := range strings.SplitSeq(found[len(found)-1], ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil // longer than any version
		}
		numbers = append(numbers, n)
	}
	return numbers
}
