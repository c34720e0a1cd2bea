package modem

import (
	"os"
	"strings"
	"testing"
)

func TestThePageNamesEveryPersonalityAndCommand(t *testing.T) {
	content, err := os.ReadFile("../../docs/modem.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, p := range Personalities() {
		if !strings.Contains(page, "`"+p.Name+"`") {
			t.Errorf("docs/modem.md does not name the personality %s", p.Name)
		}
	}
	for name := range commands {
		if !strings.Contains(page, "AT"+name) && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/modem.md does not name the command AT%s", name)
		}
	}
}
