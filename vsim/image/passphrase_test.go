package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	passphrase = Passphrase("correct horse battery staple")
	quick      = cost{Passes: 1, MiB: 1, Lanes: 1} // for tests that make many keys
)

func createLocked(t *testing.T) (path string, f *File, s State) {
	t.Helper()
	before := usual
	usual = quick
	t.Cleanup(func() { usual = before })
	path, s = filepath.Join(t.TempDir(), "locked.sim"), testState(t)
	s.Applet.Objects[0].Content = []byte("PRIVATE MATERIAL")
	f, err := Create(path, s, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return path, f, s
}

func TestImageUnderAPassphraseIsReadWithItAlone(t *testing.T) {
	path, f, s := createLocked(t)
	s.Domain.SequenceCounter = 7
	if err := f.Save(s); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	f, got, err := Open(path, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, s)
	s.Domain.SequenceCounter = 8 // what is saved after opening is under it too
	if err := f.Save(s); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if got, err = Read(path, passphrase); err != nil {
		t.Fatal(err)
	}
	same(t, got, s)

	for name, test := range map[string]struct {
		given Passphrase
		want  error
	}{
		"none":    {nil, ErrNoPassphrase},
		"another": {Passphrase("correct horse battery stable"), ErrWrongPassphrase},
	} {
		_, err := Read(path, test.given)
		if !errors.Is(err, test.want) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("with %s: %v, want %v that names the file", name, err, test.want)
		}
		if _, _, err := Open(path, test.given); !errors.Is(err, test.want) {
			t.Errorf("opened with %s: %v", name, err)
		}
	}
	if f, _, err := Open(path, passphrase); err != nil {
		t.Errorf("after those that failed: %v", err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingPrivateIsInAnImageUnderAPassphrase(t *testing.T) {
	path, _, s := createLocked(t)
	onDisk, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+16 <= len(plain); i++ {
		if bytes.Contains(onDisk, plain[i:i+16]) {
			t.Fatalf("16 bytes of the state, from %d on, are in the file", i)
		}
	}
	if bytes.Contains(onDisk, passphrase) {
		t.Error("the passphrase is in the file")
	}
	if line, _, _ := bytes.Cut(onDisk, []byte("\n")); !bytes.HasPrefix(line, []byte("simroot-vsim 2 ")) {
		t.Errorf("the file begins %q", line)
	}
}

// No two states are enciphered alike, even if they are.
func TestNonceIsFreshForEachState(t *testing.T) {
	path, f, s := createLocked(t)
	seen := map[string]bool{}
	for range 4 {
		if err := f.Save(s); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(b)] {
			t.Fatal("the same bytes again")
		}
		seen[string(b)] = true
	}
}

func TestDamageUnderAPassphraseIsToldFromAWrongOne(t *testing.T) {
	path, f, _ := createLocked(t)
	_ = f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noDamageIsRead(t, whole, passphrase)
}

// Who forges an image cannot make the machine that opens it work without end.
func TestCostOfAForeignImageIsBounded(t *testing.T) {
	salt := strings.Repeat("00", saltSize)
	for _, line := range []string{
		"argon2id passes=1 MiB=999999 lanes=1 salt=" + salt + "\n",
		"argon2id passes=99 MiB=64 lanes=1 salt=" + salt + "\n",
		"argon2id passes=0 MiB=64 lanes=1 salt=" + salt + "\n",
		"argon2id passes=1 MiB=64 lanes=0 salt=" + salt + "\n",
		"argon2id passes=1 MiB=64 lanes=1 salt=00\n",
		"argon2id passes=01 MiB=64 lanes=1 salt=" + salt + "\n",
		"scrypt\n", "\n", "",
	} {
		if _, _, err := openVault([]byte(line), passphrase); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v, want ErrDamaged", line, err)
		}
	}
}

func TestImageWithoutPassphraseIsOpenedWithAny(t *testing.T) {
	path, f, s := create(t)
	_ = f.Close()
	got, err := Read(path, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, s)
}

func TestPassphraseIsNeverPrinted(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if got := fmt.Sprintf(verb, passphrase); got != "a passphrase" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// BenchmarkUnlock is what the passphrase adds to the opening of an image.
func BenchmarkUnlock(b *testing.B) {
	for b.Loop() {
		if _, err := newVault(passphrase, usual); err != nil {
			b.Fatal(err)
		}
	}
}
