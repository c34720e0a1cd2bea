package vsim_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim"
)

// CIRA's client reads eight blocks of 255 bytes of each file, whatever is in it, and fails
// at anything but as many bytes.
func TestPaddedFileLooksFullWhateverIsWrittenToIt(t *testing.T) {
	c := vsim.NewMemory(newState(t, "cira"))
	i := connect(t, c, 0)
	content := bytes.Repeat([]byte{0x30}, 600)
	blocks, err := perso.Commands(append(perso.WriteFile("\x02", content),
		perso.Activate{Refs: []perso.Ref{{Kind: iotsafe.File, ID: "\x02"}}})...)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range append([]apdu.Command{perso.InstallForPersonalization(iotsafe.AIDs[0])}, blocks...) {
		if r := i.seal(t, command); r.SW != apdu.OK {
			t.Fatal(r.SW)
		}
	}
	if err := card.Select(t.Context(), c, 1, iotsafe.AIDs[1]); err != nil {
		t.Fatal(err)
	}
	var read []byte
	for offset := 0; offset < 2040; offset += 255 {
		block, err := card.Do(t.Context(), c, apdu.Command{
			CLA: 0x01, INS: 0xB0, P1: byte(offset >> 8), P2: byte(offset), Data: []byte{0x83, 1, 2}, Le: 256,
		})
		if err != nil || len(block) != 255 {
			t.Fatalf("%d bytes at %d, %v", len(block), offset, err)
		}
		read = append(read, block...)
	}
	if want := append(content, make([]byte, 1440)...); !bytes.Equal(read, want) {
		t.Error("not the content and zeros behind it")
	}
}

func TestProfileSettlesTheFormOfSignatures(t *testing.T) {
	for profile, want := range map[string]map[byte][]byte{ // by class byte, the beginning of the answer
		"zariot":      {0x00: {0x33, 0x00, 0x40}, 0x80: {0x33, 0x00, 0x40}},
		"orange-test": {0x00: {0x33, 0x40}, 0x80: {0x33, 0x40}},
		"common":      {0x00: {0x33, 0x40}, 0x80: {0x33, 0x00, 0x40}},
	} {
		c := vsim.NewMemory(newState(t, profile))
		if err := card.Select(t.Context(), c, 0, iotsafe.AIDs[0]); err != nil {
			t.Fatal(err)
		}
		key := []byte{0x84, 1, 1}
		if profile == "zariot" {
			key = []byte{0x84, 3, '0', '0', '6'}
		}
		if _, err := card.Do(t.Context(), c, apdu.Command{INS: 0xB9, Data: key, Le: 256}); err != nil {
			t.Fatal(err)
		}
		for cla, form := range want {
			parameters := append(bytes.Clone(key), 0xA1, 1, 3, 0x91, 2, 0, 1, 0x92, 1, 4)
			if _, err := card.Do(t.Context(), c, apdu.Command{CLA: cla, INS: 0x2A, Data: parameters}); err != nil {
				t.Fatal(err)
			}
			digest := append([]byte{0x9E, 32}, make([]byte, 32)...)
			signature, err := card.Do(t.Context(), c, apdu.Command{CLA: cla, INS: 0x2B, P1: 0x80, Data: digest, Le: 256})
			if err != nil || !bytes.HasPrefix(signature, form) || len(signature) != len(form)+64 {
				t.Errorf("%s, class %02X: %X, %v: want %X and 64 bytes", profile, cla, signature, err, form)
			}
		}
	}
}

func TestProfileNamesTheApplet(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte("aids: [A0000002480400]"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := vsim.NewMemory(newState(t, file))
	for i, aid := range iotsafe.AIDs {
		err := card.Select(t.Context(), c, 0, aid)
		if i == 1 && err != nil || i != 1 && !errors.Is(err, apdu.NotFound) {
			t.Errorf("%X: %v", aid, err)
		}
	}
	if err := card.Select(t.Context(), c, 0, []byte{0xA0, 0, 0, 2, 0x48}); err != nil {
		t.Error(err)
	}
}

// What a profile says outlives a power cycle.
func TestProfileIsKeptInTheImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cira.sim")
	s := newState(t, "cira")
	c, err := vsim.Create(file, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = vsim.Open(file); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if encoded(t, c.State()) != encoded(t, s) {
		t.Error("another state")
	}
	if got := c.State().Applet; len(got.AIDs) != 3 || got.SignatureLength == 0 || !got.Objects[len(got.Objects)-1].Padded {
		t.Errorf("%d AIDs, form %d of signatures", len(got.AIDs), got.SignatureLength)
	}
}
