package applet_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// everythingSIM holds something for every command.
func everythingSIM(t testing.TB) *sim {
	t.Helper()
	return holding(t, 1, map[perso.Ref][]byte{
		ref(iotsafe.PrivateKey, "\x01"): unhex(t, cavpScalar), ref(iotsafe.PublicKey, "\x01"): unhex(t, "04"+cavpPeer),
		ref(iotsafe.PrivateKey, "\x03"): unhex(t, cavpScalar), ref(iotsafe.PublicKey, "\x05"): unhex(t, "04"+cavpPeer),
		ref(iotsafe.SecretKey, "\x01"): unhex(t, pskHex), ref(iotsafe.SecretKey, "\x02"): unhex(t, pskHex),
		ref(iotsafe.File, "\x02"): []byte("a file"),
	},
		agreeing(privateKey("\x01", "a")), agreeing(publicKey("\x01", "a")),
		volatile(agreeing(privateKey("\x04", "e"))), volatile(agreeing(publicKey("\x04", "e"))),
		used(privateKey("\x03", "tls"), iotsafe.TLS13CertificateVerify),
		updateable(agreeing(publicKey("\x05", "peer"))), volatile(updateable(agreeing(publicKey("\x06", "peer")))),
		psk("\x01"), cipherSecret("\x02", iotsafe.AES128Secret), file("\x02", "f", 100))
}

// pieces are what random commands are made of: good fields, and some that are not.
var pieces = []string{
	"840101", "840103", "840104", "850101", "850105", "850106", "860101", "860102", "830102", "740161", "750470656572",
	"A10101", "A10102", "A10103", "91020001", "91020002", "91020004", "920104", "920101", "A30101", "A30102", "A30104", "D60161",
	"9E20" + digestHex, "9B0161", "9B000001", "9B000002", "61", "9A0161", "9C20" + digestHex, "9D0400000040", "330040" + rfc6979SHA256, "3340",
	"D10161", "D20161", "D30110", "D40161", "D50161", header34 + cavpPeer, header34, cavpPeer, "34", "00", "FF", "1122334455",
}

// A command of the device.
func anyCommand(t *rapid.T) apdu.Command {
	ins := rapid.SampledFrom([]byte{
		0x24, 0xD8, 0x2A, 0x2B, 0x2C, 0x2D, 0x46, 0x48, 0x4A, 0x5A, 0x5B, 0x5C, 0x5D, 0x5E, 0x5F, 0x84, 0xB0, 0xB9, 0xCB, 0xCD, 0x2E,
	}).Draw(t, "INS")
	data := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "data"), "")
	b, _ := hex.DecodeString(data)
	return apdu.Command{
		CLA: rapid.SampledFrom([]byte{0x01, 0x81}).Draw(t, "CLA"), INS: ins,
		P1:   rapid.SampledFrom([]byte{0, 0, 0, 1, 2, 0x80, 0x80, 0xC1, 0xF0, 0x33}).Draw(t, "P1"),
		P2:   rapid.SampledFrom([]byte{0, 0, 0, 1, 7}).Draw(t, "P2"),
		Data: b[:min(len(b), apdu.MaxData)], Le: rapid.SampledFrom([]int{0, 1, 256}).Draw(t, "Le"),
	}
}

// Whatever a device sends: no panic, no state between before and after, nothing written
// that the command was not meant to write, no private byte in an answer.
func TestAnyCommandsLeaveTheStoreWhole(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := everythingSIM(t)
		secrets := [][]byte{unhex(t, cavpScalar), unhex(t, pskHex)}
		for range rapid.IntRange(1, 40).Draw(r, "commands") {
			s.broken = rapid.IntRange(0, 9).Draw(r, "disk full") == 0
			before, stored, commits := encode(t, s.applet.State()), bytes.Clone(s.stored), s.commits
			c := anyCommand(r)
			got := s.applet.Process(1, c)
			after := encode(t, s.applet.State())
			writes := c.INS == 0xB9 || c.INS == 0xD8
			switch {
			case !bytes.Equal(after, s.stored):
				r.Fatalf("%s: the store is not what is on disk", c)
			case got.SW != apdu.OK && (!bytes.Equal(before, after) || s.commits != commits || len(got.Data) > 0 && got.SW != apdu.MoreData):
				r.Fatalf("%s: refused with %v, and yet something has happened", c, got.SW)
			case !writes && !bytes.Equal(stored, s.stored):
				r.Fatalf("%s has written", c)
			}
			for _, secret := range secrets {
				if bytes.Contains(got.Data, secret) {
					r.Fatalf("%s gave away a secret", c)
				}
			}
			if rapid.IntRange(0, 19).Draw(r, "reset") == 0 {
				s.applet.Reset()
			}
		}
	})
}

// While a personalisation runs on what a command needs it answers 6984; the first command
// after it 63CF, or 6989 if it fails.
func TestEveryCommandTellsOfRemoteAdministration(t *testing.T) {
	digest := "9E20" + digestHex
	d2 := "D20161 D30110"
	for name, c := range map[string]struct {
		touches perso.Ref
		command string
		fails   string // the same, made to fail
	}{
		"COMPUTE SIGNATURE": {ref(iotsafe.PrivateKey, "\x01"), "2A 00 01 840101 A10103 91020001 920104", "2A 00 01 840101 A10101 91020004 920104"},
		"VERIFY SIGNATURE":  {ref(iotsafe.PublicKey, "\x01"), "2C 00 01 850101 A10103 91020001 920104", "2C 00 01 850101 A10101 91020004 920104"},
		"PUT PUBLIC KEY":    {ref(iotsafe.PublicKey, "\x05"), "24 00 01 850105", ""},
		"PUT, read only":    {ref(iotsafe.PublicKey, "\x01"), "", "24 00 01 850101"},
		"COMPUTE DH, own":   {ref(iotsafe.PrivateKey, "\x01"), "46 00 00 840101 850105", "46 00 00 840101 850106"},
		"COMPUTE DH, peer":  {ref(iotsafe.PublicKey, "\x05"), "46 00 00 840101 850105", "46 00 00 840104 850105"},
		"COMPUTE PRF":       {ref(iotsafe.SecretKey, "\x01"), "48 01 00 860101" + d2, ""},
		"COMPUTE HKDF":      {ref(iotsafe.SecretKey, "\x01"), "4A 00 00 860101 91020001", ""},
		"PRF, AES secret":   {ref(iotsafe.SecretKey, "\x02"), "", "48 01 00 860102" + d2},
		"ENCRYPT":           {ref(iotsafe.SecretKey, "\x02"), "5C 00 01 860102 A30101", ""},
		"DECRYPT":           {ref(iotsafe.SecretKey, "\x02"), "5E 00 01 860102 A30102", ""},
		"ENCRYPT, wrong":    {ref(iotsafe.SecretKey, "\x01"), "", "5C 00 01 860101 A30101"},
	} {
		t.Run(name, func(t *testing.T) {
			s := everythingSIM(t)
			s.open()
			send := func(command string) string {
				b := unhex(t, command)
				got := s.rest(s.say(fmt.Sprintf("81%X%02X%X", b[:3], len(b)-3, b[3:])))
				return got[len(got)-4:]
			}
			refs := []perso.Ref{c.touches}
			for _, command := range []string{c.command, c.fails} {
				if command == "" {
					continue
				}
				good, first := "9000", "63CF"
				if command == c.fails {
					good, first = "6985", "6989"
				}
				if got := send(command); got != good {
					t.Fatalf("before: %s", got)
				}
				commands, err := perso.Staged([]perso.Op{perso.Deactivate{Refs: refs}}, []perso.Op{perso.Activate{Refs: refs}})
				if err != nil {
					t.Fatal(err)
				}
				s.applet.BeginPersonalization(plain)
				for i, b := range commands {
					if r := s.applet.StoreData(b.P1, b.P2, b.Data); r.SW != apdu.OK {
						t.Fatal(r.SW)
					}
					if i < len(commands)-1 {
						if got := send(command); got != "6984" {
							t.Fatalf("meanwhile: %s", got)
						}
					}
				}
				if got := send(command); got != first {
					t.Fatalf("first: %s, want %s", got, first)
				}
				if got := send(command); got != good {
					t.Fatalf("second: %s", got)
				}
			}
		})
	}
	t.Run("a session that was open fails", func(t *testing.T) {
		for _, x := range []struct {
			key                perso.Ref
			init               byte
			parameters, update string
		}{
			{ref(iotsafe.PrivateKey, "\x01"), 0x2A, "840101 A10103 91020001 920104", digest},
			{ref(iotsafe.PublicKey, "\x01"), 0x2C, "850101 A10103 91020001 920104", digest + "330040" + rfc6979SHA256},
			{ref(iotsafe.PublicKey, "\x05"), 0x24, "850105", header34 + cavpPeer},
			{ref(iotsafe.SecretKey, "\x02"), 0x5C, "860102 A30101", "616263"},
		} {
			s := everythingSIM(t)
			s.open()
			if got := s.session(x.init, x.parameters); got != "9000" {
				t.Fatal(got)
			}
			refs := []perso.Ref{x.key}
			s.personalize(perso.Deactivate{Refs: refs}, perso.Activate{Refs: refs})
			update := x.init + 1
			if x.init == 0x24 {
				update = 0xD8
			}
			b := unhex(t, x.update)
			s.expect(fmt.Sprintf("81%02X8001%02X%X", update, len(b), b), "6989")
			s.expect(fmt.Sprintf("81%02X8001%02X%X", update, len(b), b), "6985")
		}
	})
}

// PUT PUBLIC KEY, like GENERATE KEY PAIR, waits for the end of any personalisation, which
// works on a copy of the store.
func TestNoKeyIsPutWhileAPersonalizationRuns(t *testing.T) {
	s := everythingSIM(t)
	s.open()
	s.applet.BeginPersonalization(plain)
	if got := s.session(0x24, "850105", header34+cavpPeer); got != "6984" {
		t.Fatal(got)
	}
	s.applet.AbortPersonalization()
	if got := s.session(0x24, "850105", header34+cavpPeer); got != "9000" {
		t.Fatal(got)
	}
}
