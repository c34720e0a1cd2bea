package httpapi

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

func TestThePageOfTheAPIListsEveryCode(t *testing.T) {
	find := func(file, pattern string) (found []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
		return found
	}
	codes := find("../../../api/error.go", `(?m)^\tCode\w+\s+Code = "(\w+)"`)
	listed := find("../../../docs/platform/api.md", "(?m)^\\| `(\\w+)` \\|")
	if len(codes) == 0 || !slices.Equal(codes, listed) {
		t.Errorf("the code has %v, the page %v", codes, listed)
	}
}
