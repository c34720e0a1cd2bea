package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/simroot/simroot/conformance"
)

//go:generate go test -run TestThePageListsEveryTest -update

var update = flag.Bool("update", false, "write the list of tests into docs/conformance.md")

const (
	page       = "../docs/conformance.md"
	listBegins = "<!-- The tests: written by `go generate ./conformance`. -->\n"
	listEnds   = "<!-- End of the tests. -->\n"
)

// chapters are the headings of the page, by what IDs begin with.
var chapters = map[string]string{
	"1.1": "Selection", "1.2": "Logical channels", "1.3": "The class byte",
	"2.1": "Objects", "2.2": "Attributes", "2.3": "Order of attributes",
	"3.3": "GET DATA: the application", "3.4": "GET DATA: the list of objects", "3.5": "GET DATA: one object",
	"3.6": "GET RANDOM", "3.7": "READ FILE", "3.8": "GENERATE KEY PAIR", "3.9": "READ PUBLIC KEY",
	"3.10": "PUT PUBLIC KEY", "3.11": "COMPUTE DH", "3.13": "COMPUTE SIGNATURE", "3.14": "VERIFY SIGNATURE",
	"3.15": "COMPUTE PRF", "3.16": "COMPUTE HKDF", "3.17": "Sessions", "3.18": "Status words", "4": "Chaining and sizes",
}

// testList is the list of tests in Markdown.
func testList(t *testing.T) string {
	t.Helper()
	var order []string
	rows := map[string][]string{}
	for _, test := range conformance.Tests() {
		chapter, _, _ := strings.Cut(test.ID, "-")
		if chapters[chapter] == "" {
			t.Fatalf("test %s is of no chapter with a name", test.ID)
		}
		if rows[chapter] == nil {
			order = append(order, chapter)
		}
		var needs []string
		for _, n := range test.Needs {
			needs = append(needs, string(n))
		}
		if test.Destructive {
			needs = append(needs, "**--destructive**")
		}
		rows[chapter] = append(rows[chapter], fmt.Sprintf("| `%s` | %s | %s | %s |\n", test.ID, test.Title, test.Chapter, strings.Join(needs, ", ")))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d tests.\n", len(conformance.Tests()))
	for _, chapter := range order {
		fmt.Fprintf(&b, "\n### %s %s\n\n| Test | Statement | Where it is said | Needs |\n| --- | --- | --- | --- |\n%s",
			chapter, chapters[chapter], strings.Join(rows[chapter], ""))
	}
	return b.String() + "\n"
}

func TestThePageListsEveryTest(t *testing.T) {
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	begins, ends := strings.Index(text, listBegins), strings.Index(text, listEnds)
	if begins < 0 || ends < begins {
		t.Fatalf("%s has no place for the list: want the lines\n%s%s", page, listBegins, listEnds)
	}
	current := text[:begins+len(listBegins)] + testList(t) + text[ends:]
	if *update {
		if err := os.WriteFile(page, []byte(current), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != current {
		t.Errorf("%s does not list the tests as they are: run go generate ./conformance", page)
	}
}

func TestTestsAreNamedAndTold(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range conformance.Tests() {
		if seen[test.ID] || test.ID == "" || strings.ToLower(test.ID) != test.ID || strings.ContainsAny(test.ID, " |/") {
			t.Errorf("%q is no name, or one that is taken", test.ID)
		}
		seen[test.ID] = true
		if test.Title == "" || test.Chapter == "" || strings.Contains(test.Title, "|") || strings.HasSuffix(test.Title, ".") {
			t.Errorf("%s: %q (%s)", test.ID, test.Title, test.Chapter)
		}
	}
}
