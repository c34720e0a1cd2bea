package laws

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// A platform that is restored from a backup is never followed as if nothing had been: an
// application server forgets what the backup does not know, also when the platform has
// meanwhile come past the number that the server is at.
func TestARestoredPlatformIsNoticedByItsApplicationServers(t *testing.T) {
	const first, lost, second, third = "8988211000000000009", "8988211000000000017", "8988211000000000025", "8988211000000000033"
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	states := w.sims("meters", "common", first, lost, second, third)
	known := func(n int) api.Credential {
		t.Helper()
		done, err := w.onboard(vsim.NewMemory(states[n]))
		if err != nil {
			t.Fatal(err)
		}
		return done.Credential
	}
	before := known(0)
	database, replica := filepath.Join(w.Dir, "platform.db"), filepath.Join(t.TempDir(), "replica")
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	backup, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	gone := known(1)
	m := w.middleware(replica)
	if err := rig.Await(t.Context(), m, gone); err != nil {
		t.Fatal(err)
	}
	at := m.Synced().Seq
	if err := errors.Join(m.Close(), w.Stop(), os.WriteFile(database, backup, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, side := range []string{"-wal", "-shm"} {
		if err := os.Remove(database + side); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	after := []api.Credential{known(2), known(3)}

	m = w.middleware(replica)
	if m.Synced().Seq <= at {
		t.Fatalf("the platform is at %d and not past %d", m.Synced().Seq, at)
	}
	for _, c := range append(after, before) {
		if err := rig.Await(t.Context(), m, c); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Lookup([32]byte(gone.Fingerprint)); !errors.Is(err, appserver.ErrUnknown) {
		t.Errorf("what the backup does not know: got %v, want ErrUnknown", err)
	}
}
