package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/keyfile"
)

func newKEK(t testing.TB) (*envelope.FileKEK, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kek.key")
	kek, err := envelope.CreateFileKEK(file, keyfile.Safe{})
	if err != nil {
		t.Fatal(err)
	}
	return kek, file
}

func TestASecretComesOutOfItsEnvelopeForItsRecordOnly(t *testing.T) {
	_, file := newKEK(t)
	kek, err := envelope.OpenFileKEK(file, keyfile.Safe{})
	if err != nil {
		t.Fatal(err)
	}
	e, secret := envelope.New(kek), []byte("the keys of a SIM")
	sealed, err := e.Seal(t.Context(), "sim 1", secret)
	if err != nil || bytes.Contains(sealed, secret) {
		t.Fatal(err)
	}
	if got, err := e.Open(t.Context(), "sim 1", sealed); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := e.Open(t.Context(), "sim 2", sealed); err == nil {
		t.Error("it opens for another record")
	}
	other, _ := newKEK(t)
	if _, err := envelope.New(other).Open(t.Context(), "sim 1", sealed); err == nil {
		t.Error("it opens under another key")
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1 // also of the KEK's ID
		if _, err := e.Open(t.Context(), "sim 1", altered); err == nil {
			t.Errorf("it opens with byte %d altered", i)
		}
		if _, err := e.Open(t.Context(), "sim 1", sealed[:i]); err == nil {
			t.Errorf("it opens when cut after %d bytes", i)
		}
	}
}

func TestTheKeyFileIsPrivateAndNeverReplaced(t *testing.T) {
	kek, file := newKEK(t)
	if _, err := envelope.CreateFileKEK(file, keyfile.Safe{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, kek); strings.Contains(got, strings.TrimSpace(string(text))) || strings.Contains(got, "[") {
			t.Errorf("%s prints the key", verb)
		}
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.OpenFileKEK(file, keyfile.Safe{}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v, want a refusal that says what to do", err)
	}
}

func FuzzOpen(f *testing.F) {
	kek, _ := newKEK(f)
	e := envelope.New(kek)
	sealed, err := e.Seal(f.Context(), "record", []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{2, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := e.Open(t.Context(), "record", b); err == nil && !bytes.Equal(b, sealed) {
			t.Error("something else opens")
		}
	})
}
