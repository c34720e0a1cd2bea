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

	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/domain"
)

func testState(t testing.TB) State {
	t.Helper()
	key := bytes.Repeat([]byte{0xA5}, 16)
	store, err := applet.NewState(1, iotsafe.Object{Kind: iotsafe.File, ID: "\x02", Label: "a file", Size: 2048})
	if err != nil {
		t.Fatal(err)
	}
	return State{
		ICCID: "89882119900000000005", ATR: "uicc",
		Domain: domain.NewState(scp03.Keys{ENC: key, MAC: key, DEK: key}, 0x30),
		Applet: store,
	}
}

func same(t *testing.T, got, want State) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if !bytes.Equal(g, w) {
		t.Errorf("counter %d was read, %d was written", got.Domain.SequenceCounter, want.Domain.SequenceCounter)
	}
}

func create(t *testing.T) (path string, f *File, s State) {
	t.Helper()
	path, s = filepath.Join(t.TempDir(), "test.sim"), testState(t)
	f, err := Create(path, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return path, f, s
}

func TestWhatIsSavedIsReadBack(t *testing.T) {
	path, f, s := create(t)
	for range 3 {
		s.Domain.SequenceCounter++
		s.Applet.Objects[0].Content = append(s.Applet.Objects[0].Content, 1, 2, 3)
		if err := f.Save(s); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, s)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, got, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	same(t, got, s)
}

func TestImageIsForItsOwnerAloneAndLeavesNoLitter(t *testing.T) {
	path, f, s := create(t)
	if err := f.Save(s); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: want 0600", info.Mode())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files beside the image", len(entries)-1)
	}
}

func TestImageIsOpenOnlyOnce(t *testing.T) {
	path, f, s := create(t)
	inUse := func(when string) {
		t.Helper()
		_, _, err := Open(path, nil)
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want ErrInUse that names the file", when, err)
		}
	}
	inUse("after its creation")
	if err := f.Save(s); err != nil {
		t.Fatal(err)
	}
	inUse("after it was replaced")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, _, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	inUse("while it is open")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestExistingFileIsNeverOverwritten(t *testing.T) {
	path, f, s := create(t)
	_ = f.Close()
	if _, err := Create(path, s, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v: want os.ErrExist", err)
	}
	if _, err := Read(path, nil); err != nil {
		t.Error(err)
	}
}

func TestUnusableStateMakesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.sim")
	for name, spoil := range map[string]func(*State){
		"no ICCID":    func(s *State) { s.ICCID = "" },
		"unknown ATR": func(s *State) { s.ATR = "other" },
		"no keys":     func(s *State) { s.Domain.Keys = scp03.Keys{} },
	} {
		s := testState(t)
		spoil(&s)
		if _, err := Create(path, s, nil); err == nil {
			t.Errorf("%s: created", name)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file is there", name)
		}
	}
	if _, err := Create(filepath.Join(path, "nowhere"), testState(t), nil); err == nil {
		t.Error("created in a folder that does not exist")
	}
}

// noDamageIsRead wants an image refused with one bit of any byte turned over, and with any end missing.
func noDamageIsRead(t *testing.T, whole []byte, passphrase Passphrase) {
	t.Helper()
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0x01
		for _, damaged := range [][]byte{flipped, whole[:i]} {
			if _, _, err := decode(damaged, passphrase); !errors.Is(err, ErrDamaged) {
				t.Fatalf("damage at byte %d: %v, want ErrDamaged", i, err)
			} else if strings.Contains(err.Error(), "paWlpaWl") {
				t.Fatalf("the error shows a key: %v", err)
			}
		}
	}
}

func TestDamageIsFoundAndNothingOfTheContentIsTold(t *testing.T) {
	path, f, _ := create(t)
	_ = f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noDamageIsRead(t, whole, nil)
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v: want ErrDamaged that names the file", err)
	}
	if err := os.WriteFile(path, make([]byte, maxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("oversized file: %v, want ErrDamaged", err)
	}
	if _, _, err := Open(path+"x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v, want os.ErrNotExist", err)
	}
}

func TestSaveThatFailsLeavesTheOldState(t *testing.T) {
	path, f, s := create(t)
	// A folder in the place of the file that is prepared: no user, not even root, writes to it.
	if err := os.Mkdir(f.next(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.next(), "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := s
	next.Domain.SequenceCounter = 5
	if err := f.Save(next); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v: want one that names the file", err)
	}
	got, err := Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, s)
	if err := os.RemoveAll(f.next()); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(next); err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func TestStateIsNeverPrinted(t *testing.T) {
	s := testState(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, s); got != "virtual SIM 89882119900000000005" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := encode(testState(f), nil)
	if err != nil {
		f.Fatal(err)
	}
	v, err := newVault(passphrase, quick)
	if err != nil {
		f.Fatal(err)
	}
	locked, err := encode(testState(f), v)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:70])
	f.Add(locked)
	f.Add([]byte("simroot-vsim 2 "))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := decode(b, nil) // without a passphrase: nothing expensive is tried
		if err == nil {
			if err := s.Check(); err != nil {
				t.Error(err)
			}
		}
		if _, body, err := open(b); err == nil {
			_, _, _ = openVault(body, nil)
		} else {
			_, _, _ = openVault(b, nil)
		}
	})
}

func BenchmarkSave(b *testing.B) {
	s := testState(b)
	s.Applet.Objects[0].Content = make([]byte, 2000)
	f, err := Create(filepath.Join(b.TempDir(), "bench.sim"), s, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if err := f.Save(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s := testState(b)
	s.Applet.Objects[0].Content = make([]byte, 2000)
	path := filepath.Join(b.TempDir(), "bench.sim")
	f, err := Create(path, s, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f, _, err := Open(path, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
