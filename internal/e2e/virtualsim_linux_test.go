package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	_ "github.com/simroot/simroot/card/pcsc"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/iotsafe"
)

const iccid = "89882119900000000005"

// virtualSIM starts pcscd and puts a new virtual SIM into its reader: simroot as a
// process of its own. options are further ones of "card new".
func virtualSIM(t testing.TB, options ...string) {
	t.Helper()
	simroot, file := realparts.Binary(t, "simroot"), filepath.Join(t.TempDir(), "sim1.sim")
	realparts.PCSCD(t)
	realparts.Run(t, simroot, append([]string{"card", "new", "--profile", "common", "--iccid", iccid, "--out", file}, options...)...)
	realparts.Start(t, simroot, "card", "run", file, "--reader")
	insertedCard(t)
}

func TestForeignSoftwareSelectsTheIoTSAFEApplet(t *testing.T) {
	virtualSIM(t)
	t.Run("opensc-tool", func(t *testing.T) {
		out := realparts.Run(t, "opensc-tool", "--send-apdu", "00A4040007A0000005590010")
		if !strings.Contains(out, "SW1=0x90, SW2=0x00") && !strings.Contains(out, "SW1=0x61") {
			t.Errorf("opensc-tool printed\n%s\nwant 9000 or 61xx", out)
		}
	})
	t.Run("scriptor", func(t *testing.T) {
		out := scriptor(t, "00 A4 04 00 07 A0 00 00 05 59 00 10")
		if !strings.Contains(out, "< 90 00") && !strings.Contains(out, "< 61 ") {
			t.Errorf("scriptor printed\n%s\nwant 9000 or 61xx", out)
		}
	})
	t.Run("and none that is not there", func(t *testing.T) {
		realparts.Start(t, "opensc-tool", "--send-apdu", "00A4040007A0000005590099").WaitLog("SW1=0x6A, SW2=0x82")
	})
}

func TestTheClientReadsTheAppletThroughAReader(t *testing.T) {
	virtualSIM(t)
	ctx := t.Context()
	c, err := card.Open(ctx, "pcsc:")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	if got, err := card.ReadICCID(ctx, c, 0); err != nil || got != iccid {
		t.Errorf("ICCID is %q, %v, want %s", got, err, iccid)
	}
	applet, err := iotsafe.Select(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer applet.Close(ctx)
	objects, err := applet.Objects(ctx)
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for _, o := range objects {
		if o.Kind == iotsafe.PrivateKey && o.Functions&iotsafe.Signing != 0 {
			keys++
		}
	}
	if keys != 2 {
		t.Errorf("the list has %d objects and %d keys to sign with among them, want the two slots of the profile", len(objects), keys)
	}
}

// BenchmarkAPDUThroughPCSCD is one short command and its answer: client, pcscd, vpcd,
// virtual SIM in a process of its own, and back. Goal: at most 0.3 ms.
func BenchmarkAPDUThroughPCSCD(b *testing.B) {
	virtualSIM(b)
	c, err := card.Open(b.Context(), "pcsc:")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	selectMF, err := apdu.Command{INS: 0xA4, P2: 0x0C, Data: []byte{0x3F, 0x00}}.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Transmit(b.Context(), selectMF); err != nil {
			b.Fatal(err)
		}
	}
}
