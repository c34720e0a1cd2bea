package modem

import (
	"strings"
	"testing"
)

func TestAModemURIHoldsEverything(t *testing.T) {
	device, o, err := ParseURI("/dev/ttyUSB2?baud=9600&mode=cgla&model=EG95&answer=50&leftover=close&lock=/tmp/x")
	want := Options{Baud: 9600, Mode: CGLA, Model: "EG95", MaxAnswer: 50, CloseLeftover: true, LockDir: "/tmp/x"}
	if err != nil || device != "/dev/ttyUSB2" || o != want {
		t.Errorf("%q, %+v, %v", device, o, err)
	}
	if device, o, err = ParseURI("/dev/ttyS0"); err != nil || device != "/dev/ttyS0" || o != (Options{}) {
		t.Errorf("%q, %+v, %v", device, o, err)
	}
	for uri, hint := range map[string]string{
		"": "modem:/dev/ttyUSB2", "?baud=1": "which serial port", "x?baud=fast": "baud", "x?baud=-1": "baud", "x?mode=at": "csim or cgla",
		"x?answer=0": "1 to 256", "x?leftover=yes": "close or keep", "x?speed=9600": "baud, mode", "x?baud=1&baud=2": "more than once", "x?%zz": "malformed",
	} {
		if _, _, err := ParseURI(uri); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
