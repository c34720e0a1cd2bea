package beside_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/beside"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/internal/testlog"
)

// server is a server beside that notes what is asked of it.
type server struct {
	mu     sync.Mutex
	big    []byte // what is added to its file
	broken error
	aside  func() // done once, while files are made of what was fetched
	calls  []string
	called chan struct{} // closed and replaced with each call
}

func (s *server) note(call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	close(s.called)
	s.called = make(chan struct{})
	return s.broken
}

func (s *server) Files(state beside.State) ([]beside.File, error) {
	s.mu.Lock()
	aside := s.aside
	s.aside = nil
	s.mu.Unlock()
	if aside != nil {
		aside()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	barred := []byte(strings.Join(state.Barred, "\n"))
	return []beside.File{
		{Name: "barred", Content: append(barred, s.big...)},
		{Name: "crls", Content: state.CRLs},
		{Name: "keys", Content: []byte("key"), Secret: true},
	}, nil
}

func (s *server) Reload(_ context.Context, changed []string) error {
	if len(changed) == 0 {
		return nil
	}
	return s.note("reload " + strings.Join(changed, " "))
}

func (s *server) End(_ context.Context, iccid string) error { return s.note("end " + iccid) }
func (s *server) EndAll(context.Context) error              { return s.note("end all") }
func (s *server) Concerns(appserver.Change) bool            { return false }

func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// await waits for a number of calls that begin so, counted from the last forget.
func (s *server) await(t *testing.T, call string, times int) {
	t.Helper()
	late := time.After(servertest.Patience)
	for {
		s.mu.Lock()
		n, called, calls := 0, s.called, fmt.Sprint(s.calls)
		for _, c := range s.calls {
			if strings.HasPrefix(c, call) {
				n++
			}
		}
		s.mu.Unlock()
		if n >= times {
			return
		}
		select {
		case <-called:
		case <-late:
			t.Fatalf("waited in vain for %q ×%d; there were %s", call, times, calls)
		}
	}
}

func (s *server) forget() { s.set(func() { s.calls = nil }) }

// world is a platform and a keeper that runs.
type world struct {
	*platformtest.Platform
	*server
	m   *servertest.Server
	dir string
	log *testlog.Log
}

func newWorld(t *testing.T, s *server) *world {
	t.Helper()
	p := platformtest.New(t)
	return newWorldOf(t, p, servertest.Open(t, p), s)
}

// newWorldOf is newWorld with a middleware that may know SIMs already.
func newWorldOf(t *testing.T, p *platformtest.Platform, m *servertest.Server, s *server) *world {
	t.Helper()
	w := &world{Platform: p, server: s, m: m, dir: t.TempDir(), log: testlog.New(t)}
	s.called = make(chan struct{})
	k, err := beside.New(beside.Options{Middleware: m.Middleware, Platform: p.Client, Dir: w.dir, Server: s, Logger: w.log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	servertest.Run(t, k.Run)
	return w
}

func (w *world) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAServerThatIsDownOrBrokenIsTriedUntilItReadsTheFiles(t *testing.T) {
	w := newWorld(t, &server{broken: errors.New("the configuration is broken")})
	w.log.Await(t, "the configuration is broken")
	sim := w.Provision(t, platformtest.ICCID(1))
	w.SetCredential(sim.Credential, api.Revoked)
	w.await(t, "reload", 3)
	if w.read(t, "barred") != sim.ICCID {
		t.Error("the file waits for the server")
	}
	w.set(func() { w.calls, w.broken = nil, nil })
	w.await(t, "reload barred crls keys", 1)
	w.await(t, "end "+sim.ICCID, 1)
	w.log.Await(t, "in step again")
	if n := w.log.Count("the configuration is broken"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

func TestTheKeysAreForTheOwnerOnly(t *testing.T) {
	w := newWorld(t, &server{})
	w.await(t, "reload", 1)
	for name, want := range map[string]os.FileMode{"keys": 0o600, "barred": 0o644} {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}

// A revocation works by what the feed tells, and the CRL follows when it can be had. Then the SIM's
// connections are ended once more, and not each second until then: it may have a new credential.
func TestWithoutTheCRLConnectionsEndOnceAndOnceMoreWhenItIsThere(t *testing.T) {
	w := newWorld(t, &server{})
	sim := w.Provision(t, platformtest.ICCID(1))
	w.await(t, "reload", 1)
	old := w.read(t, "crls")
	w.WithholdCRLs(true)
	w.forget()
	w.SetCredential(sim.Credential, api.Revoked)
	w.await(t, "end "+sim.ICCID, 1)
	w.log.Await(t, "fetch the CRLs")
	// A change is worked off after what is tried each second meanwhile.
	other := w.Provision(t, platformtest.ICCID(2))
	w.SetCredential(other.Credential, api.Revoked)
	w.await(t, "end "+other.ICCID, 1)
	w.set(func() {
		if n := strings.Count(fmt.Sprint(w.calls), "end "+sim.ICCID); n != 1 {
			t.Errorf("the SIM was ended %d times while the CRL was missing", n)
		}
	})
	w.WithholdCRLs(false)
	w.await(t, "end "+sim.ICCID, 2)
	if w.read(t, "crls") == old {
		t.Error("the CRL is the old one")
	}
}

// The middleware may hear of the next CA after the keeper has fetched the lists, and before it has done
// anything with them.
func TestACAThatComesWhileTheFilesAreMadeIsNotMissed(t *testing.T) {
	w := newWorld(t, &server{})
	w.Heartbeat(50 * time.Millisecond) // which tells of other CAs
	sim := w.Provision(t, platformtest.ICCID(1))
	w.await(t, "reload", 1)
	heard := make(chan struct{})
	w.set(func() {
		w.aside = func() {
			defer close(heard)
			defer w.forget() // what follows was not asked for yet
			before := w.m.ClientCAs()
			w.Publish(platformtest.NewCA(t))
			for tick := time.Tick(time.Millisecond); w.m.ClientCAs() == before; <-tick {
			}
		}
	})
	w.SetCredential(sim.Credential, api.Revoked)
	<-heard
	w.await(t, "reload barred", 1)
	w.await(t, "reload crls", 1)
	if n := strings.Count(w.read(t, "crls"), "BEGIN X509 CRL"); n != 4 {
		t.Errorf("%d lists, want those of both CAs and their roots", n)
	}
}

// At its start a keeper ends the connections of all that are barred. One that is barred when the files have been
// made would come back, and be let in by them.
func TestWhoIsBarredWhileTheFirstFilesAreMadeIsEndedUnderTheNext(t *testing.T) {
	p := platformtest.New(t)
	m := servertest.Open(t, p)
	sim := p.Provision(t, platformtest.ICCID(1))
	s := &server{}
	barred := func() {
		p.SetCredential(sim.Credential, api.Revoked)
		for len(m.Barred()) == 0 {
			runtime.Gosched()
		}
	}
	s.aside = func() { s.set(func() { s.aside = barred }) } // not those that are made before it runs, but the next
	w := newWorldOf(t, p, m, s)
	w.await(t, "end "+sim.ICCID, 1)
	w.set(func() {
		if len(w.calls) != 3 || !strings.HasPrefix(w.calls[0], "reload") || w.calls[1] != "reload barred crls" {
			t.Errorf("it came to %q", w.calls)
		}
	})
}
