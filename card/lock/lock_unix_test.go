//go:build unix

package lock

import (
	"errors"
	"os"
	"path/filepath"
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
