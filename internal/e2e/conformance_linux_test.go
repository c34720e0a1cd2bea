package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

// The conformance kit as a tester runs it: simroot as a process, against a card that it
// reaches in every way that there is. The card is the right one, so a failure would be one of the kit
// or of the way.
func TestTheConformanceKitReachesCardsOnEveryWay(t *testing.T) {
	passes := func(t *testing.T, uri string) {
		t.Helper()
		out := realparts.Run(t, realparts.Binary(t, "simroot"), "conformance", "--card", uri, "--destructive", "--yes")
		if !strings.Contains(out, " 0 failed") || !strings.Contains(out, "ok    3.13-sign-digest") {
			t.Errorf("the report is\n%s", out)
		}
	}
	t.Run("reader, T=0", func(t *testing.T) {
		virtualSIM(t, "--atr", "t0")
		passes(t, "pcsc:")
	})
	t.Run("reader, T=1", func(t *testing.T) {
		virtualSIM(t, "--atr", "t1")
		passes(t, "pcsc:")
	})
	t.Run("modem", func(t *testing.T) {
		simroot, dir := realparts.Binary(t, "simroot"), t.TempDir()
		file, link := filepath.Join(dir, "sim.sim"), filepath.Join(dir, "modem")
		realparts.Run(t, simroot, "card", "new", "--iccid", iccid, "--out", file)
		realparts.Start(t, simroot, "card", "run", file, "--modem", link).WaitLog(filepath.Base(link))
		if _, err := os.Stat(link); err != nil {
			t.Fatal(err)
		}
		passes(t, "modem:"+link)
	})
}
