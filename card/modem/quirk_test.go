package modem

import (
	"strings"
	"testing"
	"time"
)

func TestEveryQuirkHasItsSource(t *testing.T) {
	for n, row := range Quirks {
		if row.Source == "" {
			t.Errorf("row %d of the quirks says not where it is from", n)
		}
		if (n == 0) != (row.Maker == "" && row.Model == "" && row.Firmware == "") {
			t.Errorf("row %d: the first row alone is for every modem", n)
		}
	}
}

func TestRowsOfTheQuirksAreLaidOverEachOther(t *testing.T) {
	table := []Quirk{
		{Source: "all", Prefer: CSIM, Deadline: 10 * time.Second, SelectRetries: 3},
		{Maker: "Maker", Source: "the maker's", MaxAnswer: 50},
		{Maker: "Maker", Model: "M2", Source: "the model's", Prefer: CGLA},
		{Maker: "Maker", Model: "M2", Firmware: "A07", Source: "the firmware's", MaxAnswer: 100, SelectRetries: 9},
	}
	for name, c := range map[string]struct {
		maker, model, firmware string
		source                 string
		most, retries          int
		prefer                 Mode
	}{
		"another":        {"Other", "M2", "A07", "all", 0, 3, CSIM},
		"nameless":       {"", "", "", "all", 0, 3, CSIM},
		"the maker":      {"MAKER Ltd", "M1", "", "all; the maker's", 50, 3, CSIM},
		"the model":      {"Maker", "M2-E", "A08", "all; the maker's; the model's", 50, 3, CGLA},
		"its firmware":   {"maker", "m2", "a07b", "all; the maker's; the model's; the firmware's", 100, 9, CGLA},
		"shorter a name": {"Mak", "M2", "", "all", 0, 3, CSIM},
	} {
		q := quirkFor(table, c.maker, c.model, c.firmware)
		if q.Source != c.source || q.MaxAnswer != c.most || q.SelectRetries != c.retries || q.Prefer != c.prefer || q.Deadline != 10*time.Second {
			t.Errorf("%s: %+v", name, q)
		}
	}
}

func TestAModelCanBeNamedByHand(t *testing.T) {
	for name, want := range map[string]string{"Sequans": "Sequans", "EG95": "at_libraries#395", "eg25-g": "lpac#164", "m33mu": "m33mu"} {
		c := (&scripted{script: map[string][]string{}}).open(t, Options{Model: name})
		if _, own, found := strings.Cut(c.Info().Quirks, "; "); !found || !strings.Contains(own, want) {
			t.Errorf("%s: %s", name, c.Info().Quirks)
		}
	}
}
