package explain_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/explain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// conversation explains a text as a whole.
func conversation(t *testing.T, o explain.Options, text string) (string, bool) {
	t.Helper()
	s := explain.New(o)
	var b strings.Builder
	unknown := false
	for step, err := range explain.Read(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		e := s.Explain(step)
		unknown = unknown || e.Unknown()
		b.WriteString(e.String())
	}
	return b.String(), unknown
}

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: make it with go test ./explain -update, and read it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// Every exchange that clients and cards in the field are known to have had (E1 to E20 of
// the applet's interface), and those of simroot itself, are told without a gap.
func TestKnownConversationsAreToldWithoutGap(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d conversations, %v: want at least E1 to E20", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, unknown := conversation(t, explain.Options{}, string(text))
			if unknown || strings.Contains(got, "(unknown)") {
				t.Errorf("there is a gap in\n%s", got)
			}
			golden(t, strings.TrimSuffix(file, ".txt")+".golden", got)
		})
	}
}
