package ca

import (
	"math/big"
	"testing"
)

func TestASerialNumberTellsWhichCAHasIssued(t *testing.T) {
	for _, number := range []int{1, 2, 3, 255, 256} {
		for range 100 {
			n, err := newSerial(number)
			if err != nil {
				t.Fatal(err)
			}
			if got := issuerOf(n); got != number || n.Sign() <= 0 || len(n.Bytes()) > 20 || len(SerialText(n))%2 != 0 {
				t.Fatalf("CA %d: serial number %x is taken for one of CA %d", number, n, got)
			}
		}
	}
	for _, foreign := range []string{"0x10000000000000000000000000000000000", "0x400000000000000000000000000000000000", "0xffffffffffffffffffffffffffffffffffffffff00000000"} {
		n, _ := new(big.Int).SetString(foreign, 0)
		if got := issuerOf(n); got != 0 {
			t.Errorf("%s is taken for one of CA %d", foreign, got)
		}
	}
}
