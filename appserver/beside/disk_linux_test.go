package beside_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// A limit on the size of files stands for a full disk: writing fails in the middle.
func TestAFullDiskLeavesTheOldFilesAndCutsOffAllTheSame(t *testing.T) {
	w := newWorld(t, &server{})
	sim := w.Provision(t, platformtest.ICCID(1))
	w.await(t, "reload", 1)
	old := w.read(t, "barred")
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	full := limit
	full.Cur = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_FSIZE, &limit) //nolint:errcheck // it was so before
	w.set(func() { w.calls, w.big = nil, bytes.Repeat([]byte("x"), 2<<20) })
	w.SetCredential(sim.Credential, api.Revoked)
	w.log.Await(t, "barred stays as it was")
	w.await(t, "end "+sim.ICCID, 2) // who comes back under the old rules goes again
	if w.read(t, "barred") != old {
		t.Error("the old file is gone")
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	w.log.Await(t, "in step again")
	if len(w.read(t, "barred")) < 2<<20 {
		t.Error("the new file is not there")
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "*.new")); len(left) > 0 {
		t.Errorf("half-written files are left: %s", left)
	}
}
