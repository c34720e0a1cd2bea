package lint

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// thieves are those of whom the threat model says, test by test, what they cannot do.
var thieves = []string{"stolen database", "stolen backup", "stolen node", "stolen admin token", "malicious agent", "malicious application server"}

var (
	testName    = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	declaration = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(t \*testing\.T\)`)
)

func TestEveryCannotOfTheThreatModelHasATestThatThereIs(t *testing.T) {
	text, err := os.ReadFile("../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, s := range sources(t) {
		if !s.isTest() {
			continue
		}
		source, err := fs.ReadFile(os.DirFS("../.."), s.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range declaration.FindAllSubmatch(source, -1) {
			there[string(found[1])] = true
		}
	}
	_, section, found := strings.Cut(string(text), "## What was stolen")
	if !found {
		t.Fatal("the threat model has no section on what was stolen")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	shown := map[string]int{}
	for line := range strings.SplitSeq(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], " ---") || strings.Contains(cells[1], "With a") {
			continue
		}
		names := testName.FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 {
			t.Errorf("no test shows this: %s", line)
		}
		for _, name := range names {
			if !there[name[1]] {
				t.Errorf("there is no test %s", name[1])
			}
		}
		shown[strings.TrimSpace(cells[1])]++
	}
	for _, thief := range thieves {
		if shown[thief] == 0 {
			t.Errorf("nothing is said that a thief with a %s cannot do", thief)
		}
	}
}
