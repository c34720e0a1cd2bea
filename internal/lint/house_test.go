package lint

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/simroot/simroot"

// floors is the plan of the house (docs/architecture.md), lowest floor first: a room
// imports rooms on lower floors only. A package belongs to the room with the longest
// matching path; packages of one room may import each other.
var floors = []struct {
	name  string
	rooms []string
}{
	{"0", []string{"apdu", "tlv", "internal/twice"}},
	{"1", []string{"card"}},
	{"2", []string{"iotsafe", "gp/scp03", "card/pcsc", "card/tcp", "card/modem", "card/trace"}},
	{"2½", []string{"perso"}}, // speaks of the applet's objects in iotsafe's words
	{"3", []string{"api", "explain", "psktls", "vsim", "vsim/reader", "vsim/modem"}},
	{"4", []string{"device", "appserver", "internal/platform", "internal/issuer", "conformance"}},
	{"5", []string{"internal/rig"}}, // the whole put together on one machine
	{"5½", []string{"internal/demo", "internal/laws", "internal/bench"}},
	{"6", []string{"cmd"}},
	{"7", []string{"internal/e2e", "internal/interop"}},
}

// basement holds what imports nothing of ours, and is there for every room's tests.
var basement = []string{"internal/e2e/realparts", "internal/lint", "internal/testlog", "internal/victim"}

// maxLines is where a file is asked for its second duty.
const maxLines = 600

// noNames say nothing about what a package is for.
var noNames = []string{"util", "utils", "helper", "helpers", "common", "misc"}

// source is one Go file of the module.
type source struct {
	path    string // from the module's root, with slashes
	name    string // of the package
	imports []string
	lines   int
}

func (s source) folder() string { return path.Dir(s.path) }
func (s source) isTest() bool   { return strings.HasSuffix(s.path, "_test.go") }

// sources reads every Go file of the module, whatever system it is for.
func sources(t *testing.T) []source {
	t.Helper()
	root := os.DirFS("../..")
	var all []source
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{path: name, name: file.Name.Name, lines: bytes.Count(text, []byte("\n"))}
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no Go files found: does this test still run in internal/lint?")
	}
	return all
}

// plan is the floor of each room: its place in floors, and -1 for the basement.
var plan = func() map[string]int {
	plan := map[string]int{}
	for _, room := range basement {
		plan[room] = -1
	}
	for at, floor := range floors {
		for _, room := range floor.rooms {
			plan[room] = at
		}
	}
	return plan
}()

// room is the room that a folder belongs to, "" if none.
func room(folder string) string {
	for ; folder != "."; folder = path.Dir(folder) {
		if _, known := plan[folder]; known {
			return folder
		}
	}
	return ""
}

// floorName is how docs/architecture.md numbers a room's floor.
func floorName(room string) string {
	if plan[room] < 0 {
		return "basement"
	}
	return "floor " + floors[plan[room]].name
}

func TestEveryPackageIsInARoom(t *testing.T) {
	told := map[string]bool{}
	for _, s := range sources(t) {
		if folder := s.folder(); room(folder) == "" && !told[folder] {
			told[folder] = true
			t.Errorf("%s is in no room: move it into one, or give it a floor in the table of internal/lint", folder)
		}
	}
}

func TestNoRoomStandsEmpty(t *testing.T) {
	lived := map[string]bool{}
	for _, s := range sources(t) {
		lived[room(s.folder())] = true
	}
	for room := range plan {
		if !lived[room] {
			t.Errorf("there is no package in %s: take it out of the table of internal/lint", room)
		}
	}
}

func TestRoomsImportLowerFloorsOnly(t *testing.T) {
	for _, s := range sources(t) {
		from := room(s.folder())
		for _, imported := range s.imports {
			folder, ours := strings.CutPrefix(imported, module+"/")
			if !ours || from == "" {
				continue
			}
			to := room(folder)
			if to != "" && to != from && plan[to] >= plan[from] {
				t.Errorf("%s (%s, %s) imports %s (%s, %s): only lower floors may be imported; let a higher room bring the two together",
					s.path, from, floorName(from), folder, to, floorName(to))
			}
		}
	}
}

func TestFilesHaveOneDuty(t *testing.T) {
	for _, s := range sources(t) {
		if !s.isTest() && s.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: split it by duty", s.path, s.lines, maxLines)
		}
	}
}

func TestPackagesAreNamedForTheirDuty(t *testing.T) {
	for _, s := range sources(t) {
		for _, bad := range noNames {
			if path.Base(s.folder()) == bad || strings.TrimSuffix(s.name, "_test") == bad {
				t.Errorf("%s: a package called %q: name it for what it does", s.path, bad)
			}
		}
	}
}
