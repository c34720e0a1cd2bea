//go:build unix

package lock

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOnlyOneHoldsALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LCK..sim")
	first, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := Take(path); !errors.As(err, &held) || held.Owner != os.Getpid() || !strings.Contains(held.By(), "this process") {
		t.Fatalf("%v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALockOfAProcessThatLivesIsRespectedAndNamesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LCK..sim")
	if err := os.WriteFile(path, []byte("         1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := Take(path); !errors.As(err, &held) || held.Owner != 1 || !strings.Contains(err.Error(), "process 1") || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

func TestALockThatADeadProcessHasLeftIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LCK..sim")
	for _, left := range []string{"4194999\n", "", "nonsense", "-1\n"} { // no process has so high a number
		if err := os.WriteFile(path, []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := Take(path)
		if err != nil {
			t.Fatalf("%q: %v", left, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Notes outlive their writer only if it was killed, and its successors until one takes care.
func TestNotesOfAKilledHolderAreFoundByTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LCK..sim")
	killed := "4194999\nroot minicom\nsimroot: channel 2\nsimroot: session 7\nsimroot: chan" // torn at the end
	if err := os.WriteFile(path, []byte(killed), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"channel 2", "session 7"}
	for range 2 { // the first cannot take care of it
		l, err := Take(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.Left(), want) {
			t.Errorf("left: %q", l.Left())
		}
		if err := l.Restore(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Note("channel 1"), l.Close()); err != nil {
		t.Fatal(err)
	}
	if l, err = Take(path); err != nil || len(l.Left()) != 0 {
		t.Fatalf("after an orderly end: %v, %v", l, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
