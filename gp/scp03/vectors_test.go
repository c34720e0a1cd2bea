package scp03

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/simroot/simroot/apdu"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func command(t testing.TB, s string) apdu.Command {
	t.Helper()
	c, err := apdu.Parse(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testKeys are the published test keys: 00.., 10.., 20.., stretched to size.
func testKeys(size int) Keys {
	key := func(first byte) []byte {
		k := make([]byte, size)
		for i := range k {
			k[i] = first + byte(i%16)
		}
		return k
	}
	return Keys{ENC: key(0x00), MAC: key(0x10), DEK: key(0x20)}
}

// The sessions below were recorded between an independent implementation and real cards.
var vectors = []struct {
	name               string
	size               int
	version            byte
	level              Level
	initialize, answer string
	authenticate       string
	smac               string // a second derivation block matters for 24 and 32 bytes
	eidAnswer          string // protected; empty where the level protects no answers
	wrapped            []string
}{{
	name: "A: AES-128, level 03", size: 16, version: 0x30, level: 0x03,
	initialize:   "80503000088E1552D0513C60F300",
	answer:       "0000000000000000000030037030760CD2C47C1DD395065FE5EAD8A9D7000001",
	authenticate: "8482030010FD4721A14D9B07003C451D2F8AE6BB21",
	smac:         "59B76DDFF91DBA0515A9644DE3A48863",
	wrapped: []string{
		"84E2910018CA9C00F6713D79BC8BAA642BDFF51C3F6A4082D3BD9AD26C00",
		"84F2200208C9811B11F1264CF1",
		"84CA006608E10AB60B3054798800",
		"84F22002184E2908BDB48B2315A55482E9E936CA122D6ECFAE7D17416E",
		"84F28002180DD10A6B6193E5340B9E77D32D5A179CD710AC2773AEFB2800",
	},
}, {
	name: "B: AES-128, level 33", size: 16, version: 0x30, level: 0x33,
	initialize:   "8050300008FDF38259A1E0DE4400",
	answer:       "000000000000000000003003703B1ACA81E821F219081CDC01C26B372D000003",
	authenticate: "84823300108C36F96BCC00724A4E13AD591D7DA3F0",
	smac:         "0415F56CBB9E488BB171B2B66081F004",
	eidAnswer:    "F3BA2B1013AA6224F5E1C138D71805C569E5439B47576260B75FC021B25097CB2E68F8A0144975B9",
	wrapped: []string{
		"84E2910018267A85DFE4A98FCA6FB0527E0DFECCE4914E40401433C87F00",
		"84F2200208AC6A59024BED84CC",
		"84CA006608409912AD8FB7AED000",
		"84F22002185F3DAFC3AC14C381536A488BF44E06D056DF9D74DBD21E5A",
		"84F280021865165105BE3373347D0424D4400AF2AC393F569EC779389E00",
	},
}, {
	name: "C: AES-192, level 11", size: 24, version: 0x31, level: 0x11,
	initialize:   "80503100087396430B768B085B00",
	answer:       "000000000000000000003103708CFC23522FFDBF1E5DF5542CAC8FD866000003",
	authenticate: "84821100102145ED30B146F5DB252FB7E624CEC244",
	smac:         "15E4303D3157D8D1DD283B7321434AE83FC80AC9B12E3DAF",
	eidAnswer:    "BF3E125A1089882119900000000000000000000005162FBD33E04940A9",
	wrapped: []string{
		"84E291000EBF3E035C015AFF42CF801D14394400",
		"84F22002084584E4F6784811EE",
		"84CA006608937776EBE190FA3000",
		"84F22002124F0212345C054F9F70C59A52BDDF3040368C",
		"84F280020A4F009804B11411F7393D00",
	},
}, {
	name: "D: AES-256, level 33", size: 32, version: 0x32, level: 0x33,
	initialize:   "805032000897B2055FE58599FD00",
	answer:       "00000000000000000000320370A8439A22CEDF045FA9F1903B2834F26E000002",
	authenticate: "8482330010508A0FD959D2E547C6B33154A6BE2057",
	smac:         "0607C530EB8E7B6E781A70B349370DB8728C4B6ED29A24E5461864C142F98FEC",
	eidAnswer:    "EA90DBFA648A67C5EB6ABC57F8530B97D0CD5647C5E8732016B55203B078DD2ACE7F8BC5D1C1CD99",
	wrapped: []string{
		"84E29100187A5EF717EAF1E135AE92FE54429D0E465DECDA65F5FE5AEA00",
		"84F2200208BCC5C17275545D93",
		"84CA00660804806ABA9D543BB600",
		"84F2200218717222491556EC81A45F49CE48BE33320024801A1C4CB0E0",
		"84F2800218561F105BCCD3A1642904B251CCC1228BEB80A82370A8637000",
	},
}}

const (
	vectorAID      = "A0000005591010FFFFFFFF8900000100"
	plainEIDAnswer = "BF3E125A1089882119900000000000000000000005"
)

var plainCommands = []string{
	"80E2910006BF3E035C015A00", "80F22002", "80CA006600",
	"80F220020A4F0212345C054F9F70C5", "80F28002024F0000",
}

func TestHostSpeaksAsRecorded(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			initialize := command(t, v.initialize)
			h, err := NewHost(testKeys(v.size), v.version, [8]byte(initialize.Data))
			if err != nil {
				t.Fatal(err)
			}
			h.AID = unhex(t, vectorAID)
			equalCommand(t, "INITIALIZE UPDATE", h.InitializeUpdate(), v.initialize)
			authenticate, err := h.Authenticate(unhex(t, v.answer), v.level)
			if err != nil {
				t.Fatal(err)
			}
			equalCommand(t, "EXTERNAL AUTHENTICATE", authenticate, v.authenticate)
			for i, plain := range plainCommands {
				wrapped, err := h.Wrap(command(t, plain))
				if err != nil {
					t.Fatal(err)
				}
				equalCommand(t, plain, wrapped, v.wrapped[i])
			}
			answer := v.eidAnswer
			if answer == "" {
				answer = plainEIDAnswer
			}
			r, err := h.Unwrap(apdu.Response{Data: unhex(t, answer), SW: apdu.OK})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.Data, unhex(t, plainEIDAnswer)) || r.SW != apdu.OK {
				t.Errorf("answer %X %04X: want %s 9000", r.Data, uint16(r.SW), plainEIDAnswer)
			}
		})
	}
}

func TestCardSpeaksAsRecorded(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			recorded := unhex(t, v.answer)
			counter := uint32(recorded[31])
			id := Identity{KeyVersion: v.version, AID: unhex(t, vectorAID)}
			c, answer, err := NewCard(testKeys(v.size), id, counter, [8]byte(command(t, v.initialize).Data))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(answer, recorded) {
				t.Fatalf("answer to INITIALIZE UPDATE %X: want %X", answer, recorded)
			}
			if sw := c.Authenticate(command(t, v.authenticate)); sw != apdu.OK {
				t.Fatal(sw)
			}
			if c.Level() != v.level {
				t.Errorf("%s: want %s", c.Level(), v.level)
			}
			for i, wrapped := range v.wrapped {
				plain, sw := c.Unwrap(command(t, wrapped))
				if sw != apdu.OK {
					t.Fatalf("%s: %v", wrapped, sw)
				}
				equalCommand(t, wrapped, plain, plainCommands[i])
				if i == 0 && v.eidAnswer != "" {
					r := c.Wrap(apdu.Response{Data: unhex(t, plainEIDAnswer), SW: apdu.OK})
					if !bytes.Equal(r.Data, unhex(t, v.eidAnswer)) {
						t.Errorf("protected answer %X: want %s", r.Data, v.eidAnswer)
					}
				}
			}
		})
	}
}

func TestSessionKeysAreTheRecordedOnes(t *testing.T) {
	for _, v := range vectors {
		a, err := parseInitializeAnswer(unhex(t, v.answer))
		if err != nil {
			t.Fatal(err)
		}
		context := append(command(t, v.initialize).Data, a.challenge[:]...)
		got := derive(newCMAC(testKeys(v.size).MAC), sessionMAC, v.size, context)
		if !bytes.Equal(got, unhex(t, v.smac)) {
			t.Errorf("%s: S-MAC differs from the recorded one", v.name)
		}
	}
}

// The examples of RFC 4493, clause 4.
func TestCMACOfRFC4493(t *testing.T) {
	m := newCMAC(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"+
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for n, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		if got := m.sum(message[:n]); !bytes.Equal(got[:], unhex(t, want)) {
			t.Errorf("CMAC of %d bytes: %x, want %s", n, got, want)
		}
		if got := m.sum(message[:n/3], nil, message[n/3:n]); !bytes.Equal(got[:], unhex(t, want)) {
			t.Errorf("CMAC of %d bytes in parts: %x, want %s", n, got, want)
		}
	}
}

// The key of the published PUT KEY example, which needs no padding.
func TestSecretsAreEncipheredUnderTheStaticKey(t *testing.T) {
	k := testKeys(16)
	key := unhex(t, "404142434445464748494A4B4C4D4E4F")
	sealed := encryptSensitive(k.DEK, key)
	if want := unhex(t, "859469C07743C7E45B318D151D3D87E9"); !bytes.Equal(sealed[:16], want) {
		t.Errorf("first block %X: want %X", sealed[:16], want)
	}
	got, err := decryptSensitive(k.DEK, sealed)
	if err != nil || !bytes.Equal(got, key) {
		t.Errorf("deciphered to something else: %v", err)
	}
	for _, bad := range [][]byte{nil, sealed[:15], sealed[:16], append(sealed[:31:31], sealed[31]^1)} {
		if _, err := decryptSensitive(k.DEK, bad); err == nil {
			t.Errorf("%d damaged bytes were deciphered", len(bad))
		}
	}
}

func equalCommand(t *testing.T, what string, c apdu.Command, want string) {
	t.Helper()
	b, err := c.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, unhex(t, want)) {
		t.Errorf("%s: %X, want %s", what, b, want)
	}
}
