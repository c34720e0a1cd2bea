package appserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// history is the events of count SIMs that each get a credential, of which every third is
// then revoked.
func history(count int) []*api.Event {
	var events []*api.Event
	add := func(e api.Event) {
		e.Seq, e.Time = int64(len(events))+1, time.Unix(1_800_000_000, 0).UTC()
		events = append(events, &e)
	}
	for i := range count {
		iccid := platformtest.ICCID(i)
		print := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		c := api.Credential{
			ID: fmt.Sprintf("c%d", i), ICCID: iccid, Fleet: "meters", Type: api.CertificateType, State: api.Active,
			Certificate: make([]byte, 500), Fingerprint: print[:], NotAfter: time.Unix(1_900_000_000, 0).UTC(),
		}
		add(api.Event{SIM: &api.SIM{ICCID: iccid, Fleet: "meters", State: api.Provisioned}})
		add(api.Event{Credential: &c})
		if i%3 == 0 {
			revoked := c
			revoked.State = api.Revoked
			add(api.Event{Credential: &revoked})
		}
	}
	return events
}

// view is what a replica knows, for comparison.
func view(r *replica) map[string]string {
	known := map[string]string{}
	for iccid, s := range r.sims {
		known[iccid] = fmt.Sprint(s.fleet, s.state, len(s.credentials))
	}
	for id, c := range r.byID {
		known[id] = fmt.Sprint(c.Identity, c.state, c.psk, c.confirmation, r.byPrint[c.print] == c)
	}
	return known
}

// writeJournal writes a journal that holds the state after the first events, and the rest
// as events.
func writeJournal(t interface{ Fatal(...any) }, path string, events []*api.Event, state int) {
	r := newReplica()
	for _, e := range events[:state] {
		r.apply(e)
	}
	r.feed = "first"
	j := &journal{path: path}
	if err := j.rewrite(r); err != nil {
		t.Fatal(err)
	}
	for _, e := range events[state:] {
		if err := j.append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

func TestAJournalGivesBackTheReplica(t *testing.T) {
	events := history(10)
	want := newReplica()
	for _, e := range events {
		want.apply(e)
	}
	for state := range len(events) + 1 {
		path := filepath.Join(t.TempDir(), "journal")
		writeJournal(t, path, events, state)
		j, got, damage, err := openJournal(path)
		if err != nil || damage != nil {
			t.Fatal(err, damage)
		}
		j.close()
		if got.feed != "first" || got.seq != want.seq || !maps.Equal(view(got), view(want)) {
			t.Errorf("state of %d events: differs", state)
		}
	}
}

// Whatever happens to a journal, what is read from it is a state that the platform had at
// that number, so that following from there leads to the platform's state.
func TestADamagedJournalIsThePastOrNothing(t *testing.T) {
	events := history(8)
	past := make([]map[string]string, len(events)+1)
	r := newReplica()
	past[0] = view(r)
	for i, e := range events {
		r.apply(e)
		past[i+1] = view(r)
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "journal")
		writeJournal(t, path, events, rapid.IntRange(0, len(events)).Draw(t, "state"))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "truncate") {
			text = text[:at]
		} else {
			text[at] ^= rapid.ByteRange(1, 255).Draw(t, "flip")
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		j, got, _, err := openJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(view(got), past[got.seq]) {
			t.Fatalf("at %d: %v, want %v", got.seq, view(got), past[got.seq])
		}
		if (got.feed == "") != j.broken() {
			t.Fatal("a journal of nothing must be rewritten, and no other")
		}
		if got.feed == "" {
			return
		}
		// What comes next is appended after the cut, and is there the next time.
		for _, e := range events[got.seq:] {
			if err := j.append(e); err != nil {
				t.Fatal(err)
			}
		}
		j.close()
		j, again, damage, err := openJournal(path)
		if err != nil || damage != nil {
			t.Fatal(err, damage)
		}
		j.close()
		if !maps.Equal(view(again), past[len(events)]) {
			t.Fatal("after the repair: differs")
		}
	})
}

func TestAfterAnyDamageTheReplicaEqualsThePlatformAgain(t *testing.T) {
	p := platformtest.New(t)
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	for i := range 6 {
		sim := p.Provision(t, platformtest.ICCID(i))
		if i%2 == 0 {
			p.SetCredential(sim.Credential, api.Revoked)
		}
	}
	inStep(t, m, p)
	want := view(m.current)
	m.Close()
	path := filepath.Join(dir, "journal")
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(sound); at += 1 + len(sound)/12 {
		for name, damaged := range map[string][]byte{
			"cut":  sound[:at],
			"flip": append(append(bytes.Clone(sound[:at]), sound[at]^0x55), sound[at+1:]...),
		} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			m := open(t, p, Options{Dir: dir})
			inStep(t, m, p)
			m.Close()
			if !maps.Equal(view(m.current), want) {
				t.Errorf("%s at %d: got %v, want %v", name, at, view(m.current), want)
			}
			_, kept, damage, err := openJournal(path)
			if err != nil || damage != nil || !maps.Equal(view(kept), want) {
				t.Errorf("%s at %d: the journal is not repaired: %v %v", name, at, err, damage)
			}
		}
	}
}

func TestAnOvergrownJournalIsRewritten(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	for range 2500 {
		p.SetSIM(sim.ICCID, api.Suspended)
		p.SetSIM(sim.ICCID, api.Provisioned)
	}
	inStep(t, m, p)
	m.Close()
	_, kept, damage, err := openJournal(filepath.Join(dir, "journal"))
	if err != nil || damage != nil || kept.seq != p.Head() || !maps.Equal(view(kept), view(m.current)) {
		t.Errorf("got %d, %v, %v", kept.seq, damage, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines > 4500 {
		t.Errorf("the journal has %d lines for 2 things", lines)
	}
}

func TestWhatIsOverAndPastItsEndIsForgotten(t *testing.T) {
	r := newReplica()
	for _, e := range history(6) {
		r.apply(e)
	}
	r.forget(time.Unix(1_900_000_000, 0))
	if len(r.byID) != 6 {
		t.Errorf("at its end: %d credentials, want 6", len(r.byID))
	}
	r.forget(time.Unix(1_900_000_001, 0))
	if len(r.byID) != 4 || len(r.byPrint) != 4 || len(r.sims) != 6 || len(r.sims[platformtest.ICCID(0)].credentials) != 0 {
		t.Errorf("after it: %d credentials, %d fingerprints, %d SIMs", len(r.byID), len(r.byPrint), len(r.sims))
	}
}

func TestADirectoryBelongsToOneProcess(t *testing.T) {
	p := platformtest.New(t)
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	if _, err := Open(t.Context(), Options{Platform: p.Client, Dir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("was opened twice")
	}
	m.Close()
	open(t, p, Options{Dir: dir})
}

// A full disk stops the journal, and must not stop a revocation.
func TestARevocationWorksWithoutAJournal(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	p.Heartbeat(20 * time.Millisecond)
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	inStep(t, m, p)
	m.journal.file.Close() // every write fails from now on
	p.SetCredential(sim.Credential, api.Revoked)
	inStep(t, m, p)
	if _, err := m.Lookup(sim.Fingerprint); !errors.Is(err, ErrRevoked) {
		t.Errorf("got %v, want ErrRevoked", err)
	}
	m.Close()
	m = open(t, p, Options{Dir: dir})
	if _, err := m.Lookup(sim.Fingerprint); !errors.Is(err, ErrRevoked) {
		t.Errorf("after a restart: got %v, want ErrRevoked", err)
	}
}

func FuzzJournal(f *testing.F) {
	path := filepath.Join(f.TempDir(), "journal")
	writeJournal(f, path, history(3), 4)
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	f.Add(sound[:len(sound)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		r, good, _, damage := readJournal(bytes.NewReader(text))
		if good > int64(len(text)) || damage == nil && good != int64(len(text)) {
			t.Errorf("good %d of %d, %v", good, len(text), damage)
		}
		if r.feed == "" && (len(r.byID) > 0 || good > 0) {
			t.Error("a part of nothing")
		}
	})
}
