package perso

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/iotsafe"
)

var (
	ids  = rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, iotsafe.MaxID), func(b []byte) iotsafe.ID { return iotsafe.ID(b) })
	refs = rapid.Custom(func(t *rapid.T) Ref {
		return Ref{rapid.SampledFrom(iotsafe.Kinds).Draw(t, "kind"), ids.Draw(t, "id")}
	})
	challenges = rapid.Custom(func(t *rapid.T) (c [ChallengeSize]byte) {
		copy(c[:], rapid.SliceOfN(rapid.Byte(), len(c), len(c)).Draw(t, "challenge"))
		return c
	})
	objects = rapid.Custom(func(t *rapid.T) iotsafe.Object {
		ref := refs.Draw(t, "ref")
		o := iotsafe.Object{
			Kind: ref.Kind, ID: ref.ID,
			Label:  string(rapid.SliceOfN(rapid.Byte(), 0, iotsafe.MaxLabel).Draw(t, "label")),
			Access: iotsafe.Readable,
		}
		switch o.Kind {
		case iotsafe.File:
			o.Usage, o.Size = iotsafe.X509Certificate, rapid.IntRange(0, 0xFFFF).Draw(t, "size")
		case iotsafe.SecretKey:
			o.KeyType, o.Functions, o.Derivations = iotsafe.HMACSecret, iotsafe.KeyDerivation, iotsafe.HKDF
		default:
			o.KeyType, o.Usage, o.Functions = iotsafe.P256Persistent, iotsafe.General, iotsafe.Signing
			o.Signatures, o.Hashes = iotsafe.ECDSA, iotsafe.SHA256|iotsafe.SHA384
		}
		return o
	})
	ops = rapid.Custom(func(t *rapid.T) Op {
		switch rapid.IntRange(0, 9).Draw(t, "op") {
		case 0:
			return Create{objects.Draw(t, "object")}
		case 1:
			return Delete{refs.Draw(t, "ref")}
		case 2:
			return Write{ids.Draw(t, "file"), rapid.IntRange(0, 0xFFFF).Draw(t, "offset"), rapid.SliceOfN(rapid.Byte(), 0, 190).Draw(t, "bytes")}
		case 3:
			return PutSecret{ids.Draw(t, "id"), rapid.SliceOfN(rapid.Byte(), 16, MaxSecret+16).Draw(t, "sealed"), [CheckSize]byte{1, 2, 3}}
		case 4:
			return Generate{ids.Draw(t, "private"), ids.Draw(t, "public"), challenges.Draw(t, "challenge")}
		case 5:
			return Prove{refs.Draw(t, "ref"), challenges.Draw(t, "challenge")}
		case 6:
			return Activate{rapid.SliceOfN(refs, 1, 8).Draw(t, "refs")}
		case 7:
			return Deactivate{rapid.SliceOfN(refs, 1, 8).Draw(t, "refs")}
		case 8:
			return ReadState{Refs: rapid.SliceOfN(refs, 1, 4).Draw(t, "refs")}
		default:
			return ReadState{Index: rapid.IntRange(0, 255).Draw(t, "index")}
		}
	})
)

func TestTheCardReadsWhatThePlatformWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		script := rapid.SliceOfN(ops, 1, 12).Draw(t, "script")
		commands, err := Commands(script...)
		if err != nil {
			t.Fatal(err)
		}
		var got []Op
		for i, c := range commands {
			if len(c.Data) > MaxBlock || int(c.P2) != i {
				t.Fatalf("block %d: number %d, %d bytes", i, c.P2, len(c.Data))
			}
			if last := i == len(commands)-1; (c.P1&LastBlock != 0) != last {
				t.Fatalf("block %d of %d: P1 %02X", i, len(commands), c.P1)
			}
			block, err := Parse(c.Data)
			if err != nil {
				t.Fatal(err)
			}
			size := 0
			for _, op := range block {
				size += answerSize(op)
			}
			if size > MaxAnswer {
				t.Fatalf("block %d may be answered with %d bytes", i, size)
			}
			got = append(got, block...)
		}
		if !reflect.DeepEqual(clean(got), clean(script)) {
			t.Fatalf("%#v became %#v", script, got)
		}
	})
}

// clean makes empty and absent bytes the same.
func clean(script []Op) []Op {
	out := make([]Op, len(script))
	for i, op := range script {
		if w, ok := op.(Write); ok && len(w.Bytes) == 0 {
			w.Bytes = nil
			op = w
		}
		out[i] = op
	}
	return out
}

func TestACommitCanBeHeldBackInABlockOfItsOwn(t *testing.T) {
	ref := Ref{iotsafe.File, "\x02"}
	commands, err := Staged(WriteFile(ref.ID, make([]byte, 300)), []Op{Activate{[]Ref{ref}}})
	if err != nil || len(commands) != 3 {
		t.Fatalf("%d commands, %v", len(commands), err)
	}
	last, err := Parse(commands[2].Data)
	if err != nil || len(last) != 1 || !reflect.DeepEqual(last[0], Activate{[]Ref{ref}}) || commands[1].P1&LastBlock != 0 {
		t.Fatalf("%v, %v", last, err)
	}
}

func TestAFileIsSplitWithoutLossOrGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "content")
		var got []byte
		script := WriteFile(ids.Draw(t, "file"), content)
		for _, op := range script {
			w := op.(Write)
			if w.Offset != len(got) {
				t.Fatalf("offset %d after %d bytes", w.Offset, len(got))
			}
			got = append(got, w.Bytes...)
		}
		if !bytes.Equal(got, content) {
			t.Fatalf("%d bytes became %d", len(content), len(got))
		}
		if _, err := Commands(script...); err != nil {
			t.Fatal(err)
		}
	})
}

func TestScriptsThatCannotTravelAreRefused(t *testing.T) {
	long := strings.Repeat("x", iotsafe.MaxID)
	var many []Ref
	for i := range 9 {
		many = append(many, Ref{iotsafe.PublicKey, iotsafe.ID(long[:19] + string(rune('a'+i)))})
	}
	for name, script := range map[string][]Op{
		"nothing":                 nil,
		"an operation too long":   {Write{"\x01", 0, make([]byte, 240)}},
		"too long an answer":      {ReadState{Refs: many}},
		"more blocks than number": WriteFile("\x01", make([]byte, 60000)),
	} {
		if commands, err := Commands(script...); err == nil {
			t.Errorf("%s: became %d commands", name, len(commands))
		}
	}
}

func TestBlocksThatThePackageNeverWritesAreRefused(t *testing.T) {
	create := Create{iotsafe.Object{Kind: iotsafe.File, ID: "\x02", Size: 10, Usage: 1}}.encode()
	active := bytes.Replace(create, []byte{iotsafe.TagState, 1, 0}, []byte{iotsafe.TagState, 1, 1}, 1)
	doubled := append([]byte{0xE1, create[1] + 3, 0xC3, create[3] + 3, 0x60, 1, 0}, create[4:]...)
	for name, b := range map[string][]byte{
		"nothing":             {},
		"too long":            append(Write{"\x01", 0, make([]byte, 200)}.encode(), make([]byte, 40)...),
		"an unknown one":      {0xEA, 0},
		"no identifier":       {0xE2, 0},
		"empty identifier":    {0xE2, 2, 0x83, 0},
		"identifier too long": append([]byte{0xE2, 23, 0x83, 21}, make([]byte, 21)...),
		"two to delete":       {0xE2, 6, 0x83, 1, 1, 0x83, 1, 2},
		"no offset":           {0xE3, 6, 0x83, 1, 1, 0x81, 1, 0},
		"secret too long":     PutSecret{ID: "\x01", Encrypted: make([]byte, MaxSecret+17)}.encode(),
		"short challenge":     {0xE6, 6, 0x84, 1, 1, 0x89, 1, 0},
		"nothing to activate": {0xE7, 0},
		"created active":      active,
		"attribute doubled":   doubled,
		"created twice":       append([]byte{0xE1, 2 * create[1]}, append(bytes.Clone(create[2:]), create[2:]...)...),
		"no object":           {0xE1, 0},
		"unknown kind":        {0xE1, 5, 0xC7, 3, 0x83, 1, 1},
		"cut":                 create[:len(create)-1],
	} {
		if ops, err := Parse(b); err == nil {
			t.Errorf("%s: % X was read as %#v", name, b, ops)
		}
	}
}

func TestAnswersSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var state StateAnswer
		state.Total = rapid.IntRange(0, 255).Draw(t, "total")
		for range rapid.IntRange(0, 12).Draw(t, "objects") {
			s := State{Ref: refs.Draw(t, "ref"), Active: rapid.Bool().Draw(t, "active")}
			copy(s.Digest[:], rapid.SliceOfN(rapid.Byte(), 0, DigestSize).Draw(t, "digest"))
			if s.Ref.Kind == iotsafe.File {
				s.Size = rapid.IntRange(0, 0xFFFF).Draw(t, "size")
			}
			state.Objects = append(state.Objects, s)
		}
		state = state.Fit()
		if len(state.Objects) == 0 {
			state.Objects = nil
		}
		key := KeyAnswer{PublicKey: append([]byte{0x34, 0x45}, make([]byte, 0x45)...), Proof: make([]byte, 64)}
		for _, want := range [][]Answer{{state}, {key}, {ProofAnswer{make([]byte, 32)}, ProofAnswer{make([]byte, 64)}}} {
			b, err := EncodeAnswers(want...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseAnswers(b)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%#v became %#v: %v", want, got, err)
			}
		}
	})
	if _, err := EncodeAnswers(ProofAnswer{make([]byte, 128)}, ProofAnswer{make([]byte, 128)}); err == nil {
		t.Error("answers that do not fit were encoded")
	}
}

func TestProofsDependOnEverythingTheyCover(t *testing.T) {
	var challenge, other [ChallengeSize]byte
	other[0] = 1
	sim, otherSIM := [10]byte{1}, [10]byte{2}
	seen := map[string]bool{}
	for _, d := range [][32]byte{
		ProofDigest(challenge, sim, []byte{4}), ProofDigest(other, sim, []byte{4}),
		ProofDigest(challenge, otherSIM, []byte{4}), ProofDigest(challenge, sim, []byte{5}),
		SecretProof([]byte("secret"), challenge, sim), SecretProof([]byte("secret"), other, sim),
		SecretProof([]byte("secret"), challenge, otherSIM), SecretProof([]byte("secrex"), challenge, sim),
	} {
		seen[string(d[:])] = true
	}
	if len(seen) != 8 {
		t.Fatalf("%d different proofs of 8", len(seen))
	}
	if SecretCheck([]byte("secret")) == SecretCheck([]byte("secrex")) {
		t.Fatal("check values do not tell secrets apart")
	}
}

func TestInstallForPersonalizationNamesTheApplet(t *testing.T) {
	b, err := InstallForPersonalization(iotsafe.AIDs[0]).Bytes()
	if want := "\x80\xE6\x20\x00\x0D\x00\x00\x07\xA0\x00\x00\x05\x59\x00\x10\x00\x00\x00\x00"; err != nil || string(b) != want {
		t.Fatalf("% X, %v", b, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, op := range []Op{
		Create{iotsafe.Object{Kind: iotsafe.PrivateKey, ID: "\x01", Label: "k", KeyType: iotsafe.P256Persistent, Functions: 3, Signatures: 4, Hashes: 1}},
		Delete{Ref{iotsafe.File, "\x02"}}, Write{"\x02", 3, []byte("abc")}, PutSecret{ID: "\x03", Encrypted: make([]byte, 32)},
		Generate{Private: "\x01", Public: "\x01"}, Prove{Ref: Ref{iotsafe.SecretKey, "\x03"}}, Activate{[]Ref{{iotsafe.File, "\x02"}}},
		ReadState{Index: 3}, ReadState{Refs: []Ref{{iotsafe.File, "\x02"}}},
	} {
		f.Add(op.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ops, err := Parse(b)
		if err != nil {
			return
		}
		var again []byte
		for _, op := range ops {
			again = append(again, op.encode()...)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("% X was read as %#v, which is % X", b, ops, again)
		}
	})
}

func FuzzParseAnswers(f *testing.F) {
	for _, a := range []Answer{
		KeyAnswer{append([]byte{0x34, 0x45}, make([]byte, 0x45)...), make([]byte, 64)}, ProofAnswer{make([]byte, 32)},
		StateAnswer{Total: 2, Objects: []State{{Ref: Ref{iotsafe.File, "\x02"}, Size: 5, Digest: [16]byte{1}}, {Ref: Ref{iotsafe.SecretKey, "\x03"}}}},
	} {
		f.Add(a.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		answers, err := ParseAnswers(b)
		if err != nil {
			return
		}
		var again []byte
		for _, a := range answers {
			again = append(again, a.encode()...)
		}
		if second, err := ParseAnswers(again); err != nil || !reflect.DeepEqual(second, answers) {
			t.Fatalf("% X was read as %#v, then as %#v (%v)", b, answers, second, err)
		}
	})
}
