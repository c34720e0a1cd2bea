package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/card/pcsc"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

// A card goes into the reader, is used, is taken out and comes back: the list tells at each step.
func TestTheListOfReadersFollowsTheCard(t *testing.T) {
	simroot := realparts.Binary(t, "simroot")
	p := realparts.Start(t, simroot, "card", "readers")
	if code := p.Wait(); code != 1 || !strings.Contains(p.Output(), "apt-get install pcscd") {
		t.Errorf("without the service: exit code %d\n%s", code, p.Output())
	}

	realparts.PCSCD(t)
	state := func() map[string]any {
		var readers []map[string]any
		if err := json.Unmarshal([]byte(realparts.Run(t, simroot, "card", "readers", "--json")), &readers); err != nil {
			t.Fatal(err)
		}
		if len(readers) != 2 || readers[0]["name"] != realparts.ReaderName || readers[1]["state"] != "empty" {
			t.Fatalf("readers are %v", readers)
		}
		return readers[0]
	}
	await := func(want pcsc.State) {
		t.Helper()
		realparts.WaitFor(t, "a reader that is "+string(want), func() bool {
			readers, err := pcsc.Readers(t.Context())
			return err == nil && readers[0].State == want
		})
		if r := state(); r["state"] != string(want) {
			t.Errorf("the reader is %v, want %s", r, want)
		}
	}
	if r := state(); r["state"] != "empty" || r["atr"] != nil || r["protocols"] != nil {
		t.Errorf("the empty reader is %v", r)
	}

	file := filepath.Join(t.TempDir(), "sim1.sim")
	realparts.Run(t, simroot, "card", "new", "--iccid", iccid, "--out", file)
	card := realparts.Start(t, simroot, "card", "run", file, "--reader")
	await(pcsc.Present)
	if out := realparts.Run(t, simroot, "card", "readers"); !strings.Contains(out, realparts.ReaderName) || !strings.Contains(out, "T=0") || !strings.Contains(out, "3B9F96") {
		t.Errorf("the list for people:\n%s", out)
	}
	opened, err := pcsc.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	await(pcsc.InUse)
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}

	card.Stop()
	await(pcsc.Empty)
	p = realparts.Start(t, simroot, "device", "doctor", "--card", "pcsc:")
	if code := p.Wait(); code != 1 || !strings.Contains(p.Output(), "insert the SIM") {
		t.Errorf("the doctor of an empty reader: exit code %d\n%s", code, p.Output())
	}
	realparts.Start(t, simroot, "card", "run", file, "--reader")
	await(pcsc.Present)
	p = realparts.Start(t, simroot, "device", "doctor", "--card", "pcsc:")
	if code := p.Wait(); code != 1 || !strings.Contains(p.Output(), "reader \""+realparts.ReaderName+"\"") || !strings.Contains(p.Output(), "the SIM was not onboarded yet") {
		t.Errorf("the doctor of a SIM that was not onboarded: exit code %d\n%s", code, p.Output())
	}
}
