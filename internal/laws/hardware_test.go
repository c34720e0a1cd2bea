package laws

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/model"
	virtual "github.com/simroot/simroot/vsim/modem"
)

var update = flag.Bool("update", false, "write the tables of docs/hardware.md anew")

const hardwarePage = "../../docs/hardware.md"

// The page on hardware names every virtual modem, every quirk, every card and every profile.
func TestTheHardwarePageIsWhatTheTablesSay(t *testing.T) {
	page, err := os.ReadFile(hardwarePage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, table := range map[string]string{"modems": modemTable(), "quirks": quirkTable(), "cards": cardTable(), "profiles": profileTable(t)} {
		place := regexp.MustCompile(`(?s)(<!-- ` + name + `: [^\n]* -->\n).*?(<!-- end -->)`)
		if len(place.FindAllString(want, -1)) != 1 {
			t.Fatalf("the page has not one place for the table of %s", name)
		}
		want = place.ReplaceAllStringFunc(want, func(found string) string {
			m := place.FindStringSubmatch(found)
			return m[1] + "\n" + table + "\n" + m[2]
		})
	}
	if *update {
		if err := os.WriteFile(hardwarePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Error("docs/hardware.md is out of date: run go test ./internal/laws -run HardwarePage -update")
	}
}

// Every test that the page names is one.
func TestTheHardwarePageNamesTestsThatThereAre(t *testing.T) {
	page, err := os.ReadFile(hardwarePage)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	root := os.DirFS("../..")
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(root, path.Clean(name))
		for _, m := range declared.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(page, -1)
	if len(named) < 20 {
		t.Errorf("the page names %d tests", len(named))
	}
	for _, m := range named {
		if !there[string(m[1])] {
			t.Errorf("docs/hardware.md names %s, and there is no such test", m[1])
		}
	}
}

// markdown is a table of Markdown.
func markdown(heading string, rows [][]string) string {
	var b bytes.Buffer
	columns := strings.Split(heading, "|")
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
	for _, row := range rows {
		for i := range row {
			if row[i] = strings.ReplaceAll(row[i], "|", "\\|"); row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

func modemTable() string {
	var rows [][]string
	for _, p := range virtual.Personalities() {
		rows = append(rows, []string{"`" + p.Name + "`", p.Text, p.Source, "emulated"})
	}
	return markdown("Virtual modem|What it does|Seen where|Status", rows)
}

func quirkTable() string {
	var rows [][]string
	for _, q := range modem.Quirks {
		who := strings.TrimSpace(q.Maker + " " + q.Model + " " + q.Firmware)
		if who == "" {
			who = "every modem"
		}
		rows = append(rows, []string{who, q.MinFirmware, q.Source})
	}
	return markdown("Model|First firmware|What is known, and from where", rows)
}

func cardTable() string {
	var rows [][]string
	for _, m := range model.Models {
		kind := "I and II"
		if m.Capabilities.Functions&iotsafe.Signing == 0 {
			kind = "II only"
		}
		rows = append(rows, []string{"`" + m.Name + "`", m.Title, kind, m.Source, "emulated"})
	}
	return markdown("Card|Which|Applet of Type|Source|Status", rows)
}

func profileTable(t *testing.T) string {
	var rows [][]string
	for _, name := range vsim.Profiles() {
		state, err := vsim.Profile(name, "89882119900000000017")
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{"`" + name + "`", strings.Repeat("I", state.Applet.Type), "emulated"})
	}
	return markdown("Profile|Type|Status", rows)
}
