package applet_test

import (
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
)

func FuzzProcess(f *testing.F) {
	for _, seed := range []string{
		initOne + "|" + updateOne, "81CB000044", "01CB010000|01CB010100", "01CBC3000383010200", "01B000000383010232", "8184000010",
		"01B900000384010400", "81CD0000058503303037", "812A0001 0D 840101 A10101 91020001 920104|812B8001 05 9B03ABCDEF 00", "0070800100", "81C0000043",
	} {
		for part := range strings.SplitSeq(seed, "|") {
			f.Add(unhex(f, part), []byte(nil))
		}
	}
	for _, pair := range [][2]string{
		{initOne, updateOne},
		{"812C00010D850105A1010391020001920104", "812D8001659E20" + digestHex + "330040" + rfc6979SHA256},
		{"812C00010D850105A1010191020001920104", "812D80014A9B050000863340330040" + rfc6979SHA256},
		{"812A00010D840101A1010291020001920104", "812B80012D9A036162639C20" + digestHex + "9D0400000000"},
		{"812A00010D840103A1010191020001920104", "812B8001089B00000B61626364"},
		{"8124000103850105", "81D8800147" + header34 + cavpPeer},
		{"8124000103850106", "81D8800147" + header34 + cavpPeer},
		{"814600000684010185010500", "8148010015860101D20D6D617374657220736563726574D3011000"},
		{"814A000007860101 91020001 00", "81CBF00000"},
		{"815A00010491020001", "815B80010361626300"},
		{"815C00010A860102A30102D6026964", "815D80010568656C6C6F00"},
		{"815E000106860102A30101", "815F80011C00000000000000000000000000000000000000000000000000000000"},
	} {
		f.Add(unhex(f, pair[0]), unhex(f, pair[1]))
	}
	state := everythingSIM(f).applet.State()
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := &sim{t: t}
		s.start(state)
		for _, b := range [][]byte{first, second} {
			c, err := apdu.Parse(b)
			if err != nil {
				continue
			}
			before := s.commits
			r := s.applet.Process(1, c)
			if r.SW>>12 != 0x6 && r.SW>>12 != 0x9 || len(r.Data) > iotsafe.NonceSize+applet.MaxText+iotsafe.CipherTagSize {
				t.Fatalf("% X was answered %d bytes and %04X", b, len(r.Data), uint16(r.SW))
			}
			if len(r.Data) > 0 && r.SW != apdu.OK && r.SW != apdu.MoreData {
				t.Fatalf("data with %04X", uint16(r.SW))
			}
			if s.commits > before && (c.INS != 0xB9 && c.INS != 0xD8 || r.SW != apdu.OK) {
				t.Fatalf("% X has written", b)
			}
		}
	})
}

func FuzzStoreData(f *testing.F) {
	for _, script := range [][]perso.Op{
		content("\x02", []byte("abc")), keyPair("\x01", "\x01"), {perso.ReadState{}}, {putSecret("\x09", make([]byte, 16))},
		{perso.Create{Object: file("\x03", "n", 5)}, perso.Delete{Ref: ref(iotsafe.File, "\x02")}},
	} {
		commands, err := perso.Commands(script...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(commands[0].P1, commands[0].Data)
	}
	state := fieldSIM(f).applet.State()
	f.Fuzz(func(t *testing.T, p1 byte, data []byte) {
		s := &sim{t: t}
		s.start(state)
		before := s.commits
		s.applet.BeginPersonalization(plain)
		r := s.applet.StoreData(p1, 0, data)
		if len(r.Data) > perso.MaxAnswer || len(r.Data) > 0 && r.SW != apdu.OK {
			t.Fatalf("%d bytes with %04X", len(r.Data), uint16(r.SW))
		}
		if s.commits > before && (r.SW != apdu.OK || p1&perso.LastBlock == 0) {
			t.Fatal("written without a commit")
		}
	})
}
