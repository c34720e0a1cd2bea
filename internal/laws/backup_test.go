package laws

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/internal/platform"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// A backup that was made while the platform served is brought back. Application servers notice at
// once, by the feed's identity; a SIM that was given a credential since gets another.
func TestAnOlderBackupIsBroughtBackAndNoticed(t *testing.T) {
	const early, late = "8988211000000000009", "8988211000000000017"
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	states := w.sims("meters", "common", early, late)
	known := func(c *vsim.Card) api.Credential {
		t.Helper()
		done, err := w.onboard(c)
		if err != nil {
			t.Fatal(err)
		}
		return done.Credential
	}
	before := known(vsim.NewMemory(states[0]))
	backup, replica := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "replica")
	if err := platform.Backup(t.Context(), w.Dir, backup); err != nil {
		t.Fatal(err)
	}
	card := vsim.NewMemory(states[1])
	gone := known(card)
	m := w.middleware(replica)
	if err := rig.Await(t.Context(), m, gone); err != nil {
		t.Fatal(err)
	}
	history := m.Synced().Feed
	if _, err := platform.Restore(t.Context(), w.Dir, backup, platform.Options{}); err == nil {
		t.Fatal("restored under a platform that serves")
	}
	if err := errors.Join(m.Close(), w.Stop()); err != nil {
		t.Fatal(err)
	}
	if _, err := platform.Restore(t.Context(), w.Dir, backup, platform.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}

	m = w.middleware(replica)
	if m.Synced().Feed == history {
		t.Error("the feed has kept its identity")
	}
	if err := rig.Await(t.Context(), m, before); err != nil {
		t.Error(err)
	}
	if _, err := m.Lookup([32]byte(gone.Fingerprint)); !errors.Is(err, appserver.ErrUnknown) {
		t.Errorf("what the backup does not know: got %v, want ErrUnknown", err)
	}
	again := known(card)
	if again.ID == gone.ID {
		t.Fatal("the SIM goes on with a credential that the platform does not know")
	}
	if err := rig.Await(t.Context(), m, again); err != nil {
		t.Error(err)
	}
}
