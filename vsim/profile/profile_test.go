package profile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
)

func TestEveryNamedProfileIsARightOne(t *testing.T) {
	for _, name := range Names() {
		p, err := Named(name)
		if err != nil {
			t.Error(err)
			continue
		}
		s, err := p.State()
		if err != nil {
			t.Error(err)
			continue
		}
		if p.Description == "" {
			t.Errorf("%s does not say whom it is for", name)
		}
		for _, aid := range iotsafe.AIDs { // the platform and all clients find it
			if !slices.ContainsFunc(s.AIDs, func(have []byte) bool { return bytes.Equal(have, aid) }) {
				t.Errorf("%s does not answer to %X", name, aid)
			}
		}
		for _, o := range s.Objects {
			if o.Object.Label == "" {
				t.Errorf("%s: %s %s has no label: the PKCS#11 module fails without one", name, o.Object.Kind, o.Object.ID)
			}
			if n := len(o.Object.Append(nil)); n > 50 {
				t.Errorf("%s: %s %s takes %d bytes to describe: one client has room for 50", name, o.Object.Kind, o.Object.ID, n)
			}
		}
	}
	files, err := filepath.Glob("profiles/*.yaml")
	if err != nil || len(files) != len(Names()) {
		t.Errorf("%d files and %d names, %v", len(files), len(Names()), err)
	}
}

// The tables of chapter 7 of the interface's facts, in the profiles' own words.
func TestNamedProfilesHoldWhatTheirClientsExpect(t *testing.T) {
	for name, want := range map[string]string{
		"common": `private key 01 empty, public key 01 empty, private key 11 empty, public key 11 empty,
			private key 04 empty, public key 04 empty, public key 05 empty,
			secret key 21 empty, secret key 22 empty, file 02 of 2048, file 12 of 2048, file 03 of 2048`,
		"type2": `secret key 21 empty, secret key 22 empty`,
		"wolfssl": `private key 02 empty, public key 02 empty, private key 03 empty, public key 03 empty,
			public key 04 empty, public key 05 empty, file 03 of 2048, file 04 of 2048`,
		"wolfssl2": `private key 3032 empty, public key 3032 empty, private key 3033 empty, public key 3033 empty,
			public key 3037 empty, public key 3034 empty, file 3034 of 2048, file 3033 of 2048`,
		"cira": `private key 01 empty, public key 01 empty, private key 04 empty, public key 05 empty,
			file 02 of 2040 padded, file 03 of 2040 padded, file 06 of 2040 padded, file 07 of 2040 padded,
			file 08 of 255 padded, file 09 of 2040 padded, file 0A of 2040 padded`,
		"orange-test": `private key 01 filled, public key 01 filled, private key 1234 filled, public key ABCD filled,
			secret key 21 empty, file 02 of 1024 padded, file 1234 of 1024 padded`,
		"orange-cloud": `private key 01 empty, public key 01 empty, secret key 21 empty,
			file 02 of 1024 padded, file 03 of 1024 padded, file 04 of 384 padded`,
		"m33mu": `private key 0100 empty, public key 0100 empty, private key 0400 empty, public key 0400 empty,
			public key 0500 empty, file 0200 of 2048, file 0300 of 2048`,
		"zariot": `private key 303031 filled, public key 303032 filled, private key 303036 filled, public key 303037 filled,
			secret key 303038 filled`,
	} {
		var got []string
		for _, c := range state(t, name).Objects {
			o := c.Object
			text := fmt.Sprintf("%s %s", o.Kind, o.ID)
			switch {
			case o.Kind == iotsafe.File:
				text += fmt.Sprintf(" of %d", o.Size)
			case o.Active && len(c.Content) > 0:
				text += " filled"
			default:
				text += " empty"
			}
			if c.Padded {
				text += " padded"
			}
			got = append(got, text)
		}
		if want = strings.Join(strings.Fields(want), " "); strings.Join(got, ", ") != want {
			t.Errorf("%s has\n%s\nwant\n%s", name, strings.Join(got, ", "), want)
		}
	}
}

func state(t testing.TB, name string) applet.State {
	t.Helper()
	p, err := Named(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCardsOfAProfileHaveKeysOfTheirOwn(t *testing.T) {
	a, b := state(t, "zariot"), state(t, "zariot")
	for i := range a.Objects {
		if bytes.Equal(a.Objects[i].Content, b.Objects[i].Content) {
			t.Errorf("both cards have the same %s %s", a.Objects[i].Object.Kind, a.Objects[i].Object.ID)
		}
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), a.Objects[0].Content)
	if err != nil {
		t.Fatal(err)
	}
	if point, err := key.PublicKey.Bytes(); err != nil || !bytes.Equal(point, a.Objects[1].Content) {
		t.Errorf("the public key is not that of the private key: %v", err)
	}
}

const own = `
description: a meter of our own
type: 1
aids: [A0000002480400]
signature-length: two
keys:
- private: 01            # bare digits are not a number
  public: 02
  label: meter
  usage: tls13-certificate-verify
  functions: [sign]
  signatures: [ecdsa]
  hashes: [sha256, sha384]
  scalar: 0000000000000000000000000000000000000000000000000000000000000001
secrets:
- id: 0xAB
`

func TestOnesOwnProfileIsReadFromAFile(t *testing.T) {
	text := strings.ReplaceAll(own, "0xAB", "AB\n  hex: 000102") + `
files:
- id: 0102
  label: greeting
  usage: general
  access: [read, update]
  capacity: 64
  text: |
    hello
- {id: ff, capacity: 3, hex: 010203}
`
	path := filepath.Join(t.TempDir(), "meter.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Find(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.AIDs) != 1 || s.SignatureLength != applet.TwoByteLength || s.Type != 1 {
		t.Errorf("%X, %d, type %d", s.AIDs, s.SignatureLength, s.Type)
	}
	key := iotsafe.Object{
		Kind: iotsafe.PrivateKey, ID: "\x01", Label: "meter", Active: true, KeyType: iotsafe.P256Persistent,
		Usage: iotsafe.TLS13CertificateVerify, Functions: iotsafe.Signing, Signatures: iotsafe.ECDSA,
		Hashes: iotsafe.SHA256 | iotsafe.SHA384,
	}
	if got := s.Objects[0].Object; got != key {
		t.Errorf("private key %+v", got)
	}
	if public := s.Objects[1]; public.Object.ID != "\x02" || public.Object.Access != iotsafe.Readable || len(public.Content) != 65 || !public.Object.Active {
		t.Errorf("public key %+v", public.Object)
	}
	if secret := s.Objects[2]; secret.Object.ID != "\xAB" || !bytes.Equal(secret.Content, []byte{0, 1, 2}) {
		t.Errorf("secret %+v", secret.Object)
	}
	if file := s.Objects[3]; file.Object.ID != "\x01\x02" || string(file.Content) != "hello\n" || file.Object.Access != 3 {
		t.Errorf("file %+v", file.Object)
	}
	if file := s.Objects[4]; file.Object.ID != "\xFF" || len(file.Content) != 3 {
		t.Errorf("file %+v", file.Object)
	}
}

func TestProfileInTheDocumentationIsARightOne(t *testing.T) {
	page, err := os.ReadFile("../../docs/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/profiles.md shows no profile")
	}
	p, err := Parse("docs/profiles.md", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := p.State(); err != nil || len(s.Objects) != 4 {
		t.Errorf("%v, %v", s, err)
	}
	for _, words := range []string{
		names(signatureLengths), names(keyTypes), names(secretTypes), names(keyUsages), names(functions),
		names(signatures), names(hashes), names(accesses), names(fileUsages),
	} {
		if !strings.Contains(strings.ReplaceAll(text, " or ", ", "), words) {
			t.Errorf("the page does not list: %s", words)
		}
	}
	for _, name := range Names() {
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("the page does not tell of %s", name)
		}
	}
}

func TestWhatIsWrongIsToldByFileLineAndField(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"type: 3", "f.yaml:1: type: want 1 or 2"},
		{"type: [1]", "f.yaml:1: type: want a value"},
		{"colour: red", "f.yaml:1: colour: unknown field: want one of description, type"},
		{"type: 1\ntype: 1", "f.yaml:2: type: given twice"},
		{"", "f.yaml: want one YAML document"},
		{"type: 1\n---\ntype: 2", "f.yaml: want one YAML document"},
		{"- 1", "f.yaml:1: want fields: description"},
		{"keys: [", "f.yaml:1: this is not YAML"},
		{"keys: &a []\nfiles: *a", "f.yaml:1: anchors, aliases, tags"},
		{"type: !!int 1", "f.yaml:1: anchors, aliases, tags"},
		{"keys: {private: 01}", "f.yaml:1: keys: want a list"},
		{"keys:\n- {}", "f.yaml:2: keys[0]: want the identifier"},
		{"keys:\n- private: 1", "f.yaml:2: keys[0].private: want bytes in hexadecimal"},
		{"keys:\n- private: ''", "f.yaml:2: keys[0].private: 0 bytes: want 1 to 20"},
		{"keys:\n- public: 01\n  type: p384", "f.yaml:3: keys[0].type: want one of p256,"},
		{"keys:\n- public: 01\n  hashes: [sha256,\n   md5]", "f.yaml:4: keys[0].hashes[1]: want one of sha256"},
		{"keys:\n- public: 01\n  hashes: [sha256, sha256]", "f.yaml:3: keys[0].hashes[1]: listed twice"},
		{"keys:\n- public: 01\n- public: 01", "f.yaml:3: keys[1]: public key 01 is listed twice"},
		{"keys:\n- public: 01\n  fresh: true", "f.yaml:2: keys[0]: fresh: true is for a private and a public key"},
		{"keys:\n- public: 01\n  fresh: maybe", "f.yaml:3: keys[0].fresh: want true or false"},
		{"keys:\n- private: 01\n  scalar: " + strings.Repeat("00", 32), "f.yaml:3: keys[0].scalar: not a private key"},
		{"keys:\n- public: 01\n  point: " + strings.Repeat("04", 65), "f.yaml:3: keys[0].point: not a point"},
		{"type: 2\nkeys:\n- private: 01", "f.yaml:3: keys[0]: private key 01: an applet of type 2"},
		{"secrets:\n- label: x", "f.yaml:2: secrets[0]: want an id"},
		{"secrets:\n- id: 01\n  hex: 0102\n  fresh: true", "f.yaml:2: secrets[0]: fresh: true and hex exclude"},
		{"secrets:\n- id: 01\n  type: aes128\n  hex: 0102", "f.yaml:4: secrets[0].hex: 2 bytes: want 16"},
		{"files:\n- id: 01", "f.yaml:2: files[0]: want an id and a capacity"},
		{"files:\n- id: 01\n  capacity: 1.5", "f.yaml:3: files[0].capacity: want a number of bytes"},
		{"files:\n- id: 01\n  capacity: 2\n  text: abc", "f.yaml:2: files[0]: a content of 3 bytes in a file of 2"},
		{"files:\n- id: 01\n  capacity: 2\n  label: " + strings.Repeat("x", 61), "f.yaml:4: files[0].label: 61 bytes"},
		{"files:\n- {id: 01, capacity: 9999}\n- {id: 02, capacity: 9999}", "f.yaml:3: files[1]: file 02: the store is full"},
		{"aids: []", "f.yaml:1: aids: want 1 to 8"},
		{"aids: [A0]", "f.yaml:1: aids[0]: 1 bytes: want 5 to 16"},
		{strings.Repeat("#", MaxSize+1), "f.yaml: larger than 65536 bytes"},
	} {
		_, err := Parse("f.yaml", []byte(test.text))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.60q: %v, want an *Error", test.text, err)
			continue
		}
		if want := "card profile " + test.want; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q:\n%v\nwant\n%s", test.text, err, want)
		}
	}
	if _, err := Named("other"); err == nil || !strings.Contains(err.Error(), "common, wolfssl") {
		t.Errorf("unknown name: %v, want the known ones", err)
	}
	if _, err := Find("missing.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// The parser below takes minutes for what this test gives it; here it is not asked.
func TestNoFileKeepsTheReaderLong(t *testing.T) {
	for _, unit := range []string{"[", "{", "- ", "a: ", "? ", "\n- ", "a: {", "[a: ", "&a ", "*a ", "a:\n ", "{a: [", "[[],", "'", "\"", "%"} {
		start := time.Now()
		_, _ = Parse("long.yaml", bytes.Repeat([]byte(unit), MaxSize/len(unit)))
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%q again and again took %v", unit, took)
		}
	}
}

func TestAESSecretsEncipherUnlessTheySayOtherwise(t *testing.T) {
	p, err := Parse("aes.yaml", []byte("secrets:\n- {id: 01, type: aes128, fresh: true}\n- {id: 02, type: aes256, fresh: true}"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range []int{16, 32} {
		if c := s.Objects[i]; len(c.Content) != size || c.Object.Functions != iotsafe.Encryption || c.Object.Derivations != 0 {
			t.Errorf("%+v with %d bytes", c.Object, len(c.Content))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		b, err := embedded.ReadFile("profiles/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(own))
	f.Add([]byte("keys: [[[[[{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse("fuzz.yaml", b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%v: want an *Error", err)
			}
			return
		}
		if _, err := p.State(); err != nil {
			t.Errorf("what was read makes no card: %v", err)
		}
	})
}
