package pcsc

import (
	"bytes"
	"slices"
	"testing"

	"github.com/simroot/simroot/apdu"
	"pgregory.net/rapid"
)

func TestT0CarriesEveryCommandInItsForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "header")
		c := apdu.Command{
			CLA: header[0], INS: header[1], P1: header[2], P2: header[3],
			Data: rapid.SliceOfN(rapid.Byte(), 0, apdu.MaxData).Draw(t, "data"),
			Le:   rapid.IntRange(0, apdu.MaxLe).Draw(t, "Le"),
		}
		sent, err := c.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		kept := slices.Clone(sent)
		carried := tpdu(sent)

		p3 := byte(c.Le) // of the expected length, if there is no data
		if len(c.Data) > 0 {
			p3 = byte(len(c.Data))
		}
		want := append(append(header[:4:4], p3), c.Data...)
		if !bytes.Equal(carried, want) {
			t.Fatalf("T=0 carries % X, want % X", carried, want)
		}
		if !bytes.Equal(sent, kept) {
			t.Fatal("the command itself was changed")
		}
	})
}
