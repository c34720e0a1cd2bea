package modem

import (
	"errors"
	"strings"
	"testing"
)

func TestAFirmwareThatIsTooOldIsToldWithTheFirstThatIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		model, firmware string
		old             bool
	}{
		"older":          {"nRF9160-SICA", "mfw_nrf9160_1.2.7", true},
		"much older":     {"nRF9160-SICA", "mfw_nrf9160_0.7.0-23.alpha", true},
		"the first":      {"nRF9160-SICA", "mfw_nrf9160_1.3.1", false},
		"newer":          {"nRF9160-SICA", "mfw_nrf9160_1.10.0", false},
		"without number": {"nRF9160-SICA", "of my own", false},
		"another model":  {"S1", "mfw_nrf9160_1.2.7", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := &scripted{script: map[string][]string{
				"AT+CGMM": {says(c.model)}, "AT+CGMR": {says(c.firmware)}, "AT+CSIM=?": {"\r\nERROR\r\n"},
			}}
			_, err := m.tryOpen(t.Context(), Options{})
			var tooOld *FirmwareError
			if !errors.Is(err, ErrNoAccess) || errors.As(err, &tooOld) != c.old {
				t.Fatal(err)
			}
			if c.old && (tooOld.Wants != "1.3.1" || !strings.Contains(err.Error(), c.firmware)) {
				t.Error(err)
			}
		})
	}
}

// What a modem can do decides, not what its firmware is called.
func TestAnOldFirmwareThatReachesTheSIMIsTaken(t *testing.T) {
	m := &scripted{script: map[string][]string{"AT+CGMM": {says("nRF9160-SICA")}, "AT+CGMR": {says("mfw_nrf9160_1.2.7")}}}
	if i := m.open(t, Options{}).Info(); i.Mode != CSIM {
		t.Errorf("%+v", i)
	}
}
