package platform_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
	"github.com/simroot/simroot/internal/platform/token"
)

// filled is a world with a SIM, a PSK, a token and a transport key for one batch, its folder, and what of them is secret.
func filled(t *testing.T) (dir string, secrets map[string][]byte) {
	t.Helper()
	dir = t.TempDir()
	w, err := fixture.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Store.Close()
	iccid, c := w.Provisioned(t, "locks")
	psk, err := w.PSK(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := token.New(w.Store, w.Now).Create(t.Context(), "test", api.TokenRequest{Name: "admin", Role: api.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	key, err := w.Registry.NewBatchKey(t.Context(), "test", api.BatchKeyRequest{Note: "lot 7"})
	if err != nil {
		t.Fatal(err)
	}
	var transport []byte
	if err := w.Store.View(t.Context(), func(tx store.Tx) error {
		row, err := tx.TransportKey(hex.EncodeToString(key.Key))
		if err != nil {
			return err
		}
		transport, err = w.Envelope.Open(t.Context(), store.Envelope{Kind: store.TransportEnvelope, Key: row.ID}.Record(), row.Secret)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sim := fixture.Plain(iccid)
	secrets = map[string][]byte{"ENC key": sim.ENC, "MAC key": sim.MAC, "DEK key": sim.DEK, "PSK": psk, "token": []byte(issued.Secret), "transport key": transport}
	if err := sqlite.Backup(t.Context(), filepath.Join(dir, "platform.db"), filepath.Join(dir, "backup")); err != nil {
		t.Fatal(err)
	}
	return dir, secrets
}

// holds looks for secrets in files, and for the SIM's number, which must be there.
func holds(t *testing.T, secrets map[string][]byte, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal(pattern, err)
	}
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	if !bytes.Contains(all, []byte(fixture.ICCID(0))) {
		t.Fatal("the SIM is not there: this test looks in the wrong place")
	}
	for name, secret := range secrets {
		if bytes.Contains(all, secret) || bytes.Contains(all, []byte(hex.EncodeToString(secret))) {
			t.Errorf("the %s of a SIM, a credential, an operator or a batch lies there in clear", name)
		}
	}
}

func TestAStolenDatabaseHoldsNoKeyPSKOrToken(t *testing.T) {
	dir, secrets := filled(t)
	holds(t, secrets, filepath.Join(dir, "platform.db*"))
}

func TestAStolenBackupHoldsNoKeyPSKOrToken(t *testing.T) {
	dir, secrets := filled(t)
	holds(t, secrets, filepath.Join(dir, "backup"))
}
