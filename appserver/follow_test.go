package appserver

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/internal/testlog"
)

// onlyOnce applies a change to the first line that holds an event of the given number.
func onlyOnce(seq int64, change func(line []byte) ([]byte, bool)) func(int64, []byte) ([]byte, bool) {
	var once sync.Once
	return func(at int64, line []byte) (out []byte, end bool) {
		out = line
		if at == seq {
			once.Do(func() { out, end = change(line) })
		}
		return out, end
	}
}

func TestTheFeedIsResumedWithNeitherGapNorDouble(t *testing.T) {
	for name, change := range map[string]func(line []byte) ([]byte, bool){
		"cut in the middle of a line": func(line []byte) ([]byte, bool) { return line[:len(line)/2], true },
		"cut before the line feed":    func(line []byte) ([]byte, bool) { return line[:len(line)-1], true },
		"cut between lines":           func(line []byte) ([]byte, bool) { return line, true },
		"a line twice":                func(line []byte) ([]byte, bool) { return append(bytes.Clone(line), line...), false },
		"a line missing":              func([]byte) ([]byte, bool) { return nil, false },
		"a line of rubbish":           func([]byte) ([]byte, bool) { return []byte("rubbish\n"), false },
		"a line without end":          func([]byte) ([]byte, bool) { return bytes.Repeat([]byte(" "), api.MaxFeedLine+1), false },
	} {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			m := open(t, p, Options{})
			p.Tamper(onlyOnce(5, change))
			var sims []platformtest.SIM
			for i := range 4 {
				sims = append(sims, p.Provision(t, platformtest.ICCID(i)))
			}
			p.SetCredential(sims[2].Credential, api.Revoked) // event 9, of the credential of event 6
			inStep(t, m, p)
			for i, sim := range sims {
				want := error(nil)
				if i == 2 {
					want = ErrRevoked
				}
				if _, err := m.Lookup(sim.Fingerprint); err != want {
					t.Errorf("SIM %d: got %v, want %v", i, err, want)
				}
			}
		})
	}
}

func TestWhileEverythingIsFetchedAnewTheOldStateServes(t *testing.T) {
	p := platformtest.New(t)
	sim, late := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	m := open(t, p, Options{})
	served := make(chan error, 10)
	p.Tamper(func(_ int64, line []byte) ([]byte, bool) {
		if bytes.HasPrefix(line, []byte(`{"state"`)) {
			_, err := m.Lookup(sim.Fingerprint)
			served <- err
		}
		return line, false
	})
	p.Restore(2, "")
	if err := <-served; err != nil {
		t.Errorf("while everything is fetched anew: %v", err)
	}
	await(t, m, func() bool { _, err := m.Lookup(late.Fingerprint); return err == ErrUnknown })
}

// A state of a thousand SIMs is told while they change, and the connection breaks in between:
// what is served in the end is the platform's state, and never a part of it.
func TestTheFirstStateIsCompleteOrNotServed(t *testing.T) {
	p := platformtest.New(t)
	var sims []platformtest.SIM
	for i := range 20 {
		sims = append(sims, p.Provision(t, platformtest.ICCID(i)))
	}
	lines := 0
	var m *Middleware
	started := make(chan struct{})
	p.Tamper(func(_ int64, line []byte) ([]byte, bool) {
		if !bytes.HasPrefix(line, []byte(`{"state"`)) {
			return line, false
		}
		<-started
		for _, sim := range sims {
			if _, err := m.Lookup(sim.Fingerprint); err != ErrNotReady {
				t.Errorf("in the middle of the state: got %v, want ErrNotReady", err)
			}
		}
		lines++
		if lines == 25 { // after it was told
			p.SetCredential(sims[0].Credential, api.Revoked)
		}
		return line, lines == 30
	})
	m = openUnready(t, p, Options{})
	close(started)
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, sim := range sims {
		want := error(nil)
		if i == 0 {
			want = ErrRevoked
		}
		if _, err := m.Lookup(sim.Fingerprint); err != want {
			t.Errorf("SIM %d: got %v, want %v", i, err, want)
		}
	}
}

func TestARestoredOrReplacedPlatformIsFollowedFromItsStart(t *testing.T) {
	for name, c := range map[string]struct {
		feed string
		want error
	}{
		"restored from a backup": {"", ErrUnknown},
		"another platform":       {"second", ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			sims := []platformtest.SIM{p.Provision(t, platformtest.ICCID(0)), p.Provision(t, platformtest.ICCID(1))}
			log := testlog.New(t)
			dir := t.TempDir()
			m := open(t, p, Options{Dir: dir, Logger: log.Logger()})
			conn, device, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sims[1].Certificate, 0))
			if err != nil {
				t.Fatal(err)
			}
			p.Restore(2, c.feed) // the second SIM never was
			await(t, m, func() bool { return m.Synced().Seq == 2 })
			ended(t, conn, device, c.want)
			if _, err := m.Lookup(sims[0].Fingerprint); err != nil {
				t.Errorf("the SIM in the backup: %v", err)
			}
			if !log.Says("everything is fetched anew") {
				t.Errorf("nothing was said of it:\n%s", log)
			}
			other := p.Provision(t, platformtest.ICCID(2))
			inStep(t, m, p)
			m.Close()
			m = openUnready(t, p, Options{Dir: dir})
			if _, err := m.Lookup(other.Fingerprint); err != nil {
				t.Errorf("after a restart: %v", err)
			}
			if _, err := m.Lookup(sims[1].Fingerprint); err != ErrUnknown {
				t.Errorf("after a restart, the SIM that never was: %v", err)
			}
		})
	}
}

func TestARestartResumesFromTheJournal(t *testing.T) {
	p := platformtest.New(t)
	kept, revoked := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	p.SetCredential(revoked.Credential, api.Revoked)
	inStep(t, m, p)
	m.Close()

	p.Offline(true)
	m = openUnready(t, p, Options{Dir: dir})
	if _, err := m.Lookup(revoked.Fingerprint); err != ErrRevoked {
		t.Errorf("without the platform: got %v, want ErrRevoked", err)
	}
	if _, _, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, kept.Certificate, 0)); err != nil {
		t.Errorf("without the platform: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ready without the platform: got %v", err)
	}

	var from int64
	p.Tamper(func(seq int64, line []byte) ([]byte, bool) {
		if from == 0 && seq > 0 {
			from = seq
		}
		return line, false
	})
	p.Offline(false)
	p.SetCredential(kept.Credential, api.Revoked)
	inStep(t, m, p)
	if from != 6 {
		t.Errorf("resumed from event %d, want 6", from)
	}
}

func TestBeforeTheFirstContactNothingIsAccepted(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	p.Offline(true)
	m := openUnready(t, p, Options{})
	if _, err := m.Lookup(sim.Fingerprint); err != ErrNotReady {
		t.Errorf("got %v, want ErrNotReady", err)
	}
	if _, _, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, 0)); !errors.Is(err, ErrNotReady) {
		t.Errorf("handshake: got %v, want ErrNotReady", err)
	}
	p.Offline(false)
	if err := m.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBarredAreTheSIMsThatHaveNothingAcceptedAnyMore(t *testing.T) {
	p := platformtest.New(t)
	var sims []platformtest.SIM
	for i := range 5 {
		sims = append(sims, p.Provision(t, platformtest.ICCID(i)))
	}
	m := open(t, p, Options{})
	p.SetCredential(sims[0].Credential, api.Revoked)
	p.SetSIM(sims[1].ICCID, api.Suspended)
	p.Provision(t, sims[2].ICCID)
	p.SetCredential(sims[2].Credential, api.Revoked) // but it has another one
	p.SetCredential(sims[3].Credential, api.Requested)
	inStep(t, m, p)
	want := map[string]bool{sims[0].ICCID: true, sims[1].ICCID: true}
	got := map[string]bool{}
	for _, iccid := range m.Barred() {
		got[iccid] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
