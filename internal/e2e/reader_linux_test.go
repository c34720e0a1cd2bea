package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/card/pcsc"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

// insertedCard waits until pcscd has noticed the card in the virtual reader.
func insertedCard(t testing.TB) pcsc.Reader {
	t.Helper()
	var found pcsc.Reader
	realparts.WaitFor(t, "a card in the virtual reader", func() bool {
		readers, err := pcsc.Readers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range readers {
			if r.Name == realparts.ReaderName && r.Ready() {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// scriptor sends one command, written in hexadecimal, and returns what scriptor prints.
func scriptor(t testing.TB, command string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte(command+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return realparts.Run(t, "scriptor", "-r", realparts.ReaderName, script)
}

func TestForeignSoftwareSeesTheCardInTheVirtualReader(t *testing.T) {
	realparts.PCSCD(t)
	selectMF := []byte{0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00}
	realparts.InsertCard(t, realparts.ATRT0, func(command []byte) []byte {
		if bytes.Equal(command, selectMF) {
			return []byte{0x90, 0x00}
		}
		return []byte{0x6D, 0x00}
	})
	if r := insertedCard(t); !bytes.Equal(r.ATR, realparts.ATRT0) {
		t.Errorf("ATR is % X, want % X", r.ATR, realparts.ATRT0)
	}

	t.Run("pcsc_scan", func(t *testing.T) {
		realparts.Start(t, "pcsc_scan", "-n").WaitLog("3B 9F 96 80 1F C7 80 31 E0 73 FE 21 13 57 56 55 49 43 43 30 31 A3")
	})
	t.Run("opensc-tool", func(t *testing.T) {
		realparts.Start(t, "opensc-tool", "--send-apdu", "00A4000C023F00").WaitLog(`SW1=0x90, SW2=0x00`)
	})
	t.Run("scriptor", func(t *testing.T) {
		if out := scriptor(t, "00 A4 00 0C 02 3F 00"); !strings.Contains(out, "< 90 00") {
			t.Errorf("scriptor printed\n%s\nwant < 90 00", out)
		}
	})
}
