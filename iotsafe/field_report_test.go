package iotsafe

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
)

// What other clients were reported to stumble over; docs/hardware.md lists all of it with
// its tests.

func TestRandomBytesThatLookLikeAStatusWordAreData(t *testing.T) {
	for _, data := range []string{"61106110", "90009000", "6C106C10", "6A826A82", "91109110"} {
		a, _ := settled(t, "8184 0000 04 > "+data+" 9000")
		if got, err := a.Random(t.Context(), 4); err != nil || !bytes.Equal(got, unhex(t, data)) {
			t.Errorf("%s became %X, %v", data, got, err)
		}
	}
}

func TestAgreeingBeforeThePeersKeyIsPutNamesThatStep(t *testing.T) {
	a, _ := settled(t, "81460000 06 840104 850105 00 > 6985")
	_, err := a.SharedSecret(t.Context(), "\x04", "\x05")
	if !errors.Is(err, apdu.ConditionsNot) || !strings.Contains(err.Error(), "not put") {
		t.Errorf("%v", err)
	}
}

func TestLeadingZerosOfASharedSecretAreKept(t *testing.T) {
	for zeros := range 32 {
		secret := strings.Repeat("00", zeros) + strings.Repeat("7F", 32-zeros)
		a, _ := settled(t, "81460000 06 840104 850105 00 > "+secret+"9000")
		if got, err := a.SharedSecret(t.Context(), "\x04", "\x05"); err != nil || !bytes.Equal(got, unhex(t, secret)) {
			t.Errorf("%d zeros: %X, %v", zeros, got, err)
		}
	}
}

func TestASignatureWithAToolkitNoticeIsASignature(t *testing.T) {
	for _, sw := range []string{"9110", "91FF"} {
		a, _ := settled(t, signInit+"> "+sw, signLast+"> 330040"+rs+sw)
		if got, err := a.Sign(t.Context(), "006", unhex(t, digestHex)); err != nil || hex.EncodeToString(got) != rs {
			t.Errorf("%s: %x, %v", sw, got, err)
		}
	}
}
