package pcsc

import (
	"encoding/hex"
	"slices"
	"testing"
)

func TestAnATRTellsItsProtocols(t *testing.T) {
	for atr, want := range map[string][]int{
		"3B00":     {0},
		"3B800181": {1},
		"3B9F96801FC78031E073FE211357565549434330": {0},
		"3BD518FF8191FE1FC38073C821130A":           {1}, // TD1 and TD2 name the same
		"3B80800101":                               {0, 1},
		"3B9F96C00A1F":                             {0}, // TD2 names T=15
		"3BF0":                                     nil, // cut before TD1
		"3B":                                       nil,
		"":                                         nil,
	} {
		bytes, err := hex.DecodeString(atr)
		if err != nil {
			t.Fatal(err)
		}
		if got := protocols(bytes); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", atr, got, want)
		}
	}
}

func FuzzATR(f *testing.F) {
	f.Add([]byte{0x3B, 0x80, 0x80, 0x01, 0x01})
	f.Fuzz(func(t *testing.T, atr []byte) {
		if n := len(protocols(atr)); n > len(atr) {
			t.Errorf("%d protocols in % X", n, atr)
		}
	})
}
