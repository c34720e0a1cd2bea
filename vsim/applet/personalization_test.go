package applet_test

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
)

func TestAKeyPairIsMadeProvedAndUsed(t *testing.T) {
	s := newSIM(t, 1)
	challenge := [perso.ChallengeSize]byte{1, 2, 3}
	private := ref(iotsafe.PrivateKey, "\x01")
	answers := s.personalize(
		perso.Create{Object: privateKey("\x01", "k")}, perso.Create{Object: publicKey("\x02", "k")},
		perso.Generate{Private: "\x01", Public: "\x02", Challenge: challenge},
		perso.Prove{Ref: private, Challenge: challenge},
		perso.Activate{Refs: []perso.Ref{private, ref(iotsafe.PublicKey, "\x02")}},
	)
	made := answers[0].(perso.KeyAnswer)
	key, err := iotsafe.ParsePublicKey(made.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	b, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	digest := perso.ProofDigest(challenge, testICCID.File(), b)
	for _, proof := range [][]byte{made.Proof, answers[1].(perso.ProofAnswer).Proof} {
		if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(proof[:32]), new(big.Int).SetBytes(proof[32:])) {
			t.Fatal("the proof of possession does not verify")
		}
	}
	s.powerCycle()
	c := s.client()
	if got, err := c.PublicKey(t.Context(), "\x02"); err != nil || !got.Equal(key) {
		t.Fatal(err)
	}
	if _, err := c.Sign(t.Context(), "\x01", digest[:]); err != nil {
		t.Fatal(err)
	}
}

func TestASecretIsPutProvedAndNeverComesOut(t *testing.T) {
	s := newSIM(t, 2, secret("\x01"))
	psk, challenge := []byte("0123456789ABCDEF"), [perso.ChallengeSize]byte{9}
	id := ref(iotsafe.SecretKey, "\x01")
	answers := s.personalize(putSecret("\x01", psk), perso.Prove{Ref: id, Challenge: challenge}, perso.ReadState{}, perso.Activate{Refs: []perso.Ref{id}})
	want := perso.SecretProof(psk, challenge, testICCID.File())
	if got := answers[0].(perso.ProofAnswer).Proof; !bytes.Equal(got, want[:]) {
		t.Fatal("the proof is wrong")
	}
	zeros := perso.SecretProof(psk, [perso.ChallengeSize]byte{}, testICCID.File())
	if got := answers[1].(perso.StateAnswer); len(got.Objects) != 1 || !bytes.Equal(got.Objects[0].Digest[:], zeros[:perso.DigestSize]) {
		t.Fatalf("%+v", got)
	}
	wrong := putSecret("\x01", psk)
	wrong.Check[0] ^= 1
	if sw := s.refused(wrong); sw != apdu.WrongData {
		t.Fatal(sw)
	}
}

func TestWhatAPersonalizationRefuses(t *testing.T) {
	s := newSIM(t, 1, privateKey("\x01", "k"), publicKey("\x01", "k"), file("\x02", "f", 10), secret("\x03"))
	full := func() (script []perso.Op) {
		for i := range applet.MaxObjects {
			script = append(script, perso.Create{Object: secret(iotsafe.ID([]byte{0x80, byte(i)}))})
		}
		return script
	}
	changed := file("\x02", "f", 11)
	unknown := privateKey("\x05", "b")
	unknown.KeyType = 0x43
	for name, c := range map[string]struct {
		want   apdu.SW
		script []perso.Op
	}{
		"another description":    {apdu.ConditionsNot, []perso.Op{perso.Create{Object: changed}}},
		"an unsupported key":     {apdu.WrongData, []perso.Op{perso.Create{Object: unknown}}},
		"too many objects":       {apdu.NoSpace, full()},
		"too many bytes":         {apdu.NoSpace, []perso.Op{perso.Create{Object: file("\x07", "", applet.MaxBytes)}}},
		"a gap":                  {apdu.WrongOffset, []perso.Op{perso.Write{File: "\x02", Offset: 1, Bytes: []byte{1}}}},
		"beyond the capacity":    {apdu.NoSpace, []perso.Op{perso.Write{File: "\x02", Bytes: make([]byte, 11)}}},
		"an unknown file":        {apdu.ReferenceNotFound, []perso.Op{perso.Write{File: "\x09"}}},
		"an unknown secret":      {apdu.ReferenceNotFound, []perso.Op{putSecret("\x09", make([]byte, 16))}},
		"an unknown pair":        {apdu.ReferenceNotFound, []perso.Op{perso.Generate{Private: "\x01", Public: "\x09"}}},
		"an unknown object":      {apdu.ReferenceNotFound, []perso.Op{perso.Deactivate{Refs: []perso.Ref{ref(iotsafe.File, "\x09")}}}},
		"an empty file":          {apdu.ConditionsNot, []perso.Op{perso.Write{File: "\x02"}, perso.Activate{Refs: []perso.Ref{ref(iotsafe.File, "\x02")}}}},
		"proof of nothing":       {apdu.ConditionsNot, []perso.Op{perso.Prove{Ref: ref(iotsafe.PrivateKey, "\x01")}}},
		"proof of a file":        {apdu.WrongData, []perso.Op{perso.Prove{Ref: ref(iotsafe.File, "\x02")}}},
		"a late fault":           {apdu.ReferenceNotFound, append(content("\x02", []byte("abc")), perso.Prove{Ref: ref(iotsafe.SecretKey, "\x09")})},
		"active and overwritten": {apdu.ConditionsNot, append(content("\x02", []byte("abc")), perso.Write{File: "\x02"}, perso.Activate{Refs: []perso.Ref{ref(iotsafe.File, "\x02")}})},
	} {
		t.Run(name, func(t *testing.T) {
			if sw := s.refused(c.script...); sw != c.want {
				t.Fatal(sw)
			}
		})
	}
}

func TestBlocksOutOfOrderOrFormEndTheSequence(t *testing.T) {
	s := newSIM(t, 1, file("\x02", "f", 10))
	good := unhex(t, "E203 83 01 02")
	for name, b := range map[string][2]byte{"number": {0x11, 1}, "DGI": {0x09, 0}, "enciphered": {0x71, 0}, "no structure": {0x01, 0}} {
		s.applet.BeginPersonalization(plain)
		if r := s.applet.StoreData(b[0], b[1], good); r.SW != apdu.WrongP1P2 {
			t.Errorf("%s: %v", name, r.SW)
		}
		if r := s.applet.StoreData(0x91, 0, good); r.SW != apdu.ConditionsNot {
			t.Errorf("%s: the sequence went on: %v", name, r.SW)
		}
	}
	s.applet.BeginPersonalization(plain)
	if r := s.applet.StoreData(0x91, 0, []byte{0xE2}); r.SW != apdu.WrongData {
		t.Error(r.SW)
	}
	if r := s.applet.StoreData(0x91, 0, good); r.SW != apdu.ConditionsNot {
		t.Error("without a beginning:", r.SW)
	}
}

func TestRepeatingAScriptChangesNothing(t *testing.T) {
	s := newSIM(t, 1)
	script := append([]perso.Op{perso.Create{Object: file("\x02", "f", 600)}}, content("\x02", make([]byte, 500))...)
	s.personalize(script...)
	before := encode(t, s.applet.State())
	s.personalize(script...)
	if !bytes.Equal(before, encode(t, s.applet.State())) {
		t.Fatal("changed")
	}
	s.personalize(perso.Delete{Ref: ref(iotsafe.File, "\x02")}, perso.Delete{Ref: ref(iotsafe.File, "\x02")})
	if n := len(s.applet.State().Objects); n != 0 {
		t.Fatalf("%d objects", n)
	}
}

func TestReadStateTellsWhatIsThere(t *testing.T) {
	s := fieldSIM(t)
	commits := s.commits
	var all []perso.State
	for {
		state := s.personalize(perso.ReadState{Index: len(all)})[0].(perso.StateAnswer)
		all = append(all, state.Objects...)
		if len(all) >= state.Total {
			break
		}
	}
	if s.commits != commits {
		t.Error("reading has written")
	}
	if len(all) != len(s.applet.State().Objects) {
		t.Fatalf("%d objects", len(all))
	}
	b, err := point(t, s, "007").Bytes()
	if err != nil {
		t.Fatal(err)
	}
	want := map[perso.Ref]perso.State{
		ref(iotsafe.PrivateKey, "006"):  {Active: true, Digest: perso.Digest(b)},
		ref(iotsafe.PublicKey, "007"):   {Active: true, Digest: perso.Digest(b)},
		ref(iotsafe.File, "\x02"):       {Active: true, Size: 600, Digest: perso.Digest(bytes.Repeat([]byte{0x5A}, 600))},
		ref(iotsafe.SecretKey, "\x09"):  {},
		ref(iotsafe.PrivateKey, "\x04"): {},
	}
	for _, got := range all {
		if w, ok := want[got.Ref]; ok {
			w.Ref = got.Ref
			if got != w {
				t.Errorf("%+v, want %+v", got, w)
			}
			delete(want, got.Ref)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	some := s.personalize(perso.ReadState{Refs: []perso.Ref{ref(iotsafe.File, "\x99"), ref(iotsafe.File, "\x02")}})[0].(perso.StateAnswer)
	if len(some.Objects) != 1 || some.Total != len(all) {
		t.Errorf("%+v", some)
	}
}

func TestDevicesAreToldOfRemoteAdministration(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	s.expect("02A4040007A0000005590010", "9000")
	read := "01B000000383010201"
	s.expect(read, "5A 9000")
	s.expect(initOne, "9000")

	script := append(content("\x02", []byte("new")), keyPair("\x01", "\x01")...)
	blocks, err := perso.Staged(script[:1], script[1:])
	if err != nil {
		t.Fatal(err)
	}
	s.applet.BeginPersonalization(plain)
	s.expect(read, "5A 9000") // nothing touched so far
	if r := s.applet.StoreData(blocks[0].P1, blocks[0].P2, blocks[0].Data); r.SW != apdu.OK {
		t.Fatal(r.SW)
	}
	s.expect(read, "6984")
	s.expect("01CBC3000383010200", "6984")
	s.expect("01B900000384010400", "6984") // would be undone
	if got := s.say("81CD0000058503303037 00"); !strings.HasSuffix(got, "9000") {
		t.Fatal("an object that is not touched:", got)
	}
	if got := s.say("0184000001"); !strings.HasSuffix(got, "9000") {
		t.Fatal(got)
	}
	if r := s.applet.StoreData(blocks[1].P1, blocks[1].P2, blocks[1].Data); r.SW != apdu.OK {
		t.Fatal(r.SW)
	}
	s.expect(read, "6E 63CF")
	s.expect(read, "6E 9000")
	s.expect("02B000000383010201", "6E 63CF") // each channel is told
	s.expect("02B000000383010201", "6E 9000")
	s.expect(updateOne, "6989") // the key under the session is another one now
	s.expect(initOne, "9000")
	s.uicc.Reset() // ends what notices are left
	s.open()
	if got := s.say("01CD00000385010100"); !strings.HasSuffix(got, "9000") {
		t.Fatal(got)
	}

	s.personalize(perso.Deactivate{Refs: []perso.Ref{ref(iotsafe.File, "\x02")}})
	s.expect(read, "6989")
	s.expect(read, "6985")
}

func TestAnAbortedPersonalizationLeavesNoTrace(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	s.applet.BeginPersonalization(plain)
	block, err := perso.Commands(content("\x02", []byte("new"))...)
	if err != nil {
		t.Fatal(err)
	}
	if r := s.applet.StoreData(block[0].P1&^perso.LastBlock, 0, block[0].Data); r.SW != apdu.OK {
		t.Fatal(r.SW)
	}
	s.expect("01B000000383010201", "6984")
	s.applet.AbortPersonalization()
	s.expect("01B000000383010201", "5A 9000")
}

func TestWhatCannotBeStoredIsNotDone(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	s.broken = true
	if sw := s.refused(content("\x02", []byte("new"))...); sw != apdu.MemoryFailure {
		t.Fatal(sw)
	}
	s.expect("01B000000383010201", "5A 9000")
	s.broken = false
	s.personalize(content("\x02", []byte("new"))...)
	s.expect("01B000000383010201", "6E 63CF")
}

func TestADamagedKeyIsAnErrorAndNotAPanic(t *testing.T) {
	s := fieldSIM(t)
	state := s.applet.State()
	for i, c := range state.Objects {
		if len(c.Content) > 0 {
			state.Objects[i].Content = c.Content[:3]
		}
	}
	s.start(state)
	s.open()
	s.expect(initOne, "9000")
	s.expect(updateOne, "6400")
	s.expect("01CD00000385010100", "6400")
	if sw := s.refused(perso.Prove{Ref: ref(iotsafe.PrivateKey, "\x01")}); sw != apdu.StoreDamaged {
		t.Fatal(sw)
	}
	if sw := s.refused(perso.ReadState{Refs: []perso.Ref{ref(iotsafe.PrivateKey, "\x01")}}); sw != apdu.StoreDamaged {
		t.Fatal(sw)
	}
	s.applet.BeginPersonalization(func([]byte) ([]byte, error) { return nil, errors.New("no") })
	commands, _ := perso.Commands(putSecret("\x09", make([]byte, 16)))
	if r := s.applet.StoreData(commands[0].P1, 0, commands[0].Data); r.SW != apdu.WrongData {
		t.Fatal(r.SW)
	}
}

// Laws.

// ops draws operations on few objects, so that they meet.
var ops = rapid.Custom(func(t *rapid.T) perso.Op {
	id := iotsafe.ID(rapid.SampledFrom([]string{"\x01", "\x02", "\x03"}).Draw(t, "id"))
	refs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) perso.Ref {
		return ref(rapid.SampledFrom(iotsafe.Kinds).Draw(t, "kind"), iotsafe.ID(rapid.SampledFrom([]string{"\x01", "\x02"}).Draw(t, "id")))
	}), 1, 3)
	switch rapid.IntRange(0, 11).Draw(t, "op") {
	case 0:
		return perso.Create{Object: file(id, "", 300)}
	case 1:
		return perso.Create{Object: privateKey(id, "k")}
	case 2:
		return perso.Create{Object: publicKey(id, "k")}
	case 3:
		return perso.Create{Object: volatile(publicKey(id, "k"))}
	case 4:
		return perso.Create{Object: secret(id)}
	case 5:
		return perso.Write{File: id, Offset: rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "offset"), Bytes: []byte("abc")}
	case 6:
		return putSecret(id, rapid.SliceOfN(rapid.Byte(), 16, 32).Draw(t, "secret"))
	case 7:
		return perso.Generate{Private: id, Public: id}
	case 8:
		return perso.Delete{Ref: refs.Draw(t, "ref")[0]}
	case 9:
		return perso.Deactivate{Refs: refs.Draw(t, "refs")}
	case 10:
		return perso.ReadState{Refs: refs.Draw(t, "refs")}
	default:
		return perso.Activate{Refs: refs.Draw(t, "refs")}
	}
})

func lawSIM(t *testing.T) *sim {
	return newSIM(t, 1, privateKey("\x01", "k"), publicKey("\x01", "k"), file("\x01", "", 300), file("\x02", "", 300), secret("\x01"), secret("\x02"))
}

func TestAnyPrefixOfAPersonalizationThenAbortLeavesTheStoreAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := lawSIM(t)
		s.personalize(append(keyPair("\x01", "\x01"), content("\x01", []byte("old"))...)...)
		before := s.applet.State()
		script := rapid.SliceOfN(ops, 1, 10).Draw(rt, "script")
		s.applet.BeginPersonalization(plain)
		for i, op := range script { // each in a block of its own, the last of them not sent
			commands, err := perso.Commands(op)
			if err != nil {
				rt.Fatal(err)
			}
			if s.applet.StoreData(commands[0].P1&^perso.LastBlock, byte(i), commands[0].Data).SW != apdu.OK {
				break
			}
		}
		switch rapid.IntRange(0, 2).Draw(rt, "end") {
		case 0:
			s.applet.AbortPersonalization()
		case 1:
			s.applet.BeginPersonalization(plain)
		case 2:
			s.uicc.Reset()
		}
		if after := s.applet.State(); !reflect.DeepEqual(after, before) {
			rt.Fatalf("%v became %v", before, after)
		}
	})
}

func TestAStoreIsNeverHalfChanged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := lawSIM(t)
		for range rapid.IntRange(1, 4).Draw(rt, "sequences") {
			before := encode(t, s.applet.State())
			s.broken = rapid.IntRange(0, 4).Draw(rt, "broken") == 0
			commands, err := perso.Commands(rapid.SliceOfN(ops, 1, 12).Draw(rt, "script")...)
			if err != nil {
				rt.Fatal(err)
			}
			s.applet.BeginPersonalization(plain)
			for _, c := range commands {
				r := s.applet.StoreData(c.P1, c.P2, c.Data)
				committed := r.SW == apdu.OK && c.P1&perso.LastBlock != 0
				if !committed && !bytes.Equal(before, encode(t, s.applet.State())) {
					rt.Fatalf("changed before the commit (%v)", r.SW)
				}
				if r.SW != apdu.OK {
					break
				}
			}
			after := s.applet.State()
			if !bytes.Equal(s.stored, encode(t, after)) {
				rt.Fatal("what is stored is not what is used")
			}
			if i := slices.IndexFunc(after.Objects, func(c applet.Container) bool { return c.Object.Active && len(c.Content) == 0 }); i >= 0 {
				rt.Fatalf("%s is active and empty", after.Objects[i])
			}
			s.powerCycle()
			if !reflect.DeepEqual(after, s.applet.State()) {
				rt.Fatal("loss of power changed the store")
			}
		}
	})
}
