package appserver

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// newVault is a vault with n secrets.
func newVault(t testing.TB, n int) (v *vault, private []byte) {
	t.Helper()
	private, _ = sealingKey(t)
	v, damage, err := openVault(filepath.Join(t.TempDir(), "secrets"), private)
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	t.Cleanup(func() { v.close() })
	for i := range n {
		id := fmt.Sprint("credential ", i)
		if err := v.put(id, secretOf(id)); err != nil {
			t.Fatal(err)
		}
	}
	return v, private
}

func secretOf(id string) []byte { return []byte("the secret of " + id) }

// holds tells whether the vault opens to the secret of a credential.
func holds(t testing.TB, v *vault, id string) bool {
	t.Helper()
	secret, known, err := v.open(id)
	if err != nil {
		t.Fatal(err)
	}
	if known != bytes.Equal(secret, secretOf(id)) {
		t.Errorf("%s: known %v, but another secret", id, known)
	}
	return known
}

func TestAVaultCutAnywhereHoldsWhatCameBefore(t *testing.T) {
	v, private := newVault(t, 2)
	v.forget("credential 1")
	content, err := os.ReadFile(v.path)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cut")
	for n := range len(content) + 1 {
		if err := os.WriteFile(file, content[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		cut, damage, err := openVault(file, private)
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		for i := range 2 {
			id := fmt.Sprint("credential ", i)
			p := v.places[nameOf(id)]
			want := p.size > 0 && int64(n) >= p.at+int64(p.size)
			if i == 1 && n < len(content) {
				continue // it was there for a while
			}
			if holds(t, cut, id) != want {
				t.Errorf("cut after %d bytes (%v): %s there: %v", n, damage, id, !want)
			}
		}
		if err := cut.put("later", secretOf("later")); err != nil || !holds(t, cut, "later") {
			t.Errorf("cut after %d bytes: nothing can be added: %v", n, err)
		}
		cut.close()
	}
}

func TestAVaultKeepsWhatIsWantedAndNamesWhatIsMissing(t *testing.T) {
	v, private := newVault(t, 3)
	var missing []string
	wanted := []string{"credential 0", "credential 7"}
	if err := v.keep(slices.Values(wanted), func(id string) { missing = append(missing, id) }); err != nil {
		t.Fatal(err)
	}
	if !holds(t, v, "credential 0") || holds(t, v, "credential 1") || !slices.Equal(missing, wanted[1:]) {
		t.Errorf("missing %v", missing)
	}
	v.garbage = minGarbage // as after many rotations
	if err := v.compact(); err != nil {
		t.Fatal(err)
	}
	again, damage, err := openVault(v.path, private)
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	defer again.close()
	for _, v := range []*vault{v, again} {
		if !holds(t, v, "credential 0") || holds(t, v, "credential 1") || len(v.places) != 1 {
			t.Errorf("after the rewriting: %d records", len(v.places))
		}
	}
}

func TestAVaultWithoutRoomServesFromMemoryAndWritesLater(t *testing.T) {
	v, private := newVault(t, 1)
	good := v.file
	full, err := os.Open(v.path) // which cannot be written to
	if err != nil {
		t.Fatal(err)
	}
	v.file = full
	if err := v.put("late", secretOf("late")); err == nil {
		t.Error("no error is told")
	}
	if !holds(t, v, "late") || !v.has("late") || !holds(t, v, "credential 0") {
		t.Error("what could not be written is not served")
	}
	full.Close()
	v.file = good
	if err := v.put("next", secretOf("next")); err != nil || len(v.unsaved) != 0 {
		t.Errorf("%v, %d unsaved", err, len(v.unsaved))
	}
	again, damage, err := openVault(v.path, private)
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	defer again.close()
	if !holds(t, again, "late") || !holds(t, again, "next") {
		t.Error("it was not written later")
	}
}

func FuzzVault(f *testing.F) {
	private, _ := sealingKey(f)
	path := filepath.Join(f.TempDir(), "seed")
	v, _, err := openVault(path, private)
	if err != nil {
		f.Fatal(err)
	}
	v.put("one", secretOf("one"))
	v.forget("one")
	v.close()
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	f.Add(secretRecord("x", nil))
	f.Add([]byte{0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "secrets")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		v, _, err := openVault(path, private)
		if err != nil {
			t.Fatal(err)
		}
		defer v.close()
		if err := v.put("new", secretOf("new")); err != nil || !holds(t, v, "new") {
			t.Error(err)
		}
		again, damage, err := openVault(path, private)
		if err != nil || damage != nil || !holds(t, again, "new") {
			t.Fatal(err, damage)
		}
		again.close()
	})
}
