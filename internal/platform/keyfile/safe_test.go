package keyfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/platform/keyfile"
)

func TestAKeyUnderAPassphraseOpensWithItOnly(t *testing.T) {
	file, secret := filepath.Join(t.TempDir(), "a.key"), []byte("the private key")
	safe := keyfile.NewSafe([]byte("correct horse"))
	if err := safe.Write(file, secret); err != nil {
		t.Fatal(err)
	}
	onDisk, err := os.ReadFile(file)
	if err != nil || bytes.Contains(onDisk, secret) {
		t.Fatalf("on disk lies %q, %v", onDisk, err)
	}
	if got, err := safe.Read(file); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := keyfile.NewSafe([]byte("wrong horse")).Read(file); !errors.Is(err, keyfile.ErrPassphrase) {
		t.Errorf("with another passphrase: %v", err)
	}
	if _, err := (keyfile.Safe{}).Read(file); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("without a passphrase: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, safe); strings.Contains(text, "horse") || strings.Contains(text, "99") {
			t.Errorf("%s prints the passphrase: %s", verb, text)
		}
	}
}

func TestASafeOpensAFileFromBeforeItHadAPassphrase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.key")
	if err := (keyfile.Safe{}).Write(file, []byte("plain")); err != nil {
		t.Fatal(err)
	}
	if got, err := keyfile.NewSafe([]byte("pass")).Read(file); err != nil || string(got) != "plain" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.NewSafe([]byte("pass")).Read(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that the group can read: %v", err)
	}
}
