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
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// history is the events of count SIMs that each get a credential, of which every third is
// then revoked. Every fifth SIM has a PSK.
func history(count int) []*entry {
	var events []*entry
	add := func(e entry) {
		e.Seq, e.Mark = int64(len(events))+1, fmt.Sprintf("m%d", len(events)+1)
		events = append(events, &e)
	}
	for i := range count {
		iccid := platformtest.ICCID(i)
		print := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		c := entry{
			ID: fmt.Sprintf("%032x", i), ICCID: iccid, Fleet: "meters", Type: api.CertificateType, State: string(api.Active),
			Fingerprint: print[:], NotAfter: time.Unix(1_900_000_000, 0).UTC(),
		}
		if i%5 == 4 {
			c.Type, c.Fingerprint, c.Identity = api.PSKType, nil, plainForm(iccid, c.ID)
			c.Confirmation = &api.Confirmation{Challenge: make([]byte, 32), Proof: print[:]}
		}
		if i%7 == 6 { // not in the form that the platform gives
			c.ID, c.Identity = fmt.Sprintf("c%d", i), fmt.Sprintf("psk-%d", i)
		}
		add(entry{ICCID: iccid, Fleet: "meters", State: string(api.Provisioned)})
		add(c)
		if i%3 == 0 {
			revoked := c
			revoked.State = string(api.Revoked)
			add(revoked)
		}
	}
	return events
}

func (r *replica) follow(e *entry) {
	r.apply(e)
	r.ID, r.Seq, r.Mark = "first", e.Seq, e.Mark
}

// view is what a replica knows, for comparison, and checks that it finds all of it.
func view(t interface{ Errorf(string, ...any) }, r *replica) map[string]string {
	known := map[string]string{}
	r.entries(func(e *entry) bool {
		if e.ID == "" {
			known[e.ICCID] = fmt.Sprint(*e)
			return true
		}
		c := *e
		c.Confirmation = nil
		known[e.ID] = fmt.Sprint(c, e.Confirmation != nil && bytes.Equal(e.Confirmation.Proof, make([]byte, 32)))
		if e.Confirmation != nil {
			known[e.ID] += fmt.Sprint(*e.Confirmation)
		}
		found := r.byCredentialID(e.ID)
		if found == nil {
			t.Errorf("credential %s is not found by its ID", e.ID)
			return false
		}
		if print, ok := fingerprintOf(e); ok && r.byFingerprint(&print) != found {
			t.Errorf("credential %s is not found by its fingerprint", e.ID)
		}
		if id := r.identify(found); id.ICCID != e.ICCID || id.Credential != e.ID || id.Fleet != e.Fleet || id.Type != e.Type || !id.NotAfter.Equal(e.NotAfter) {
			t.Errorf("credential %s is identified as %+v", e.ID, id)
		}
		return true
	})
	return known
}

// pastOf is what a replica knows after each number of events.
func pastOf(t *testing.T, events []*entry) []map[string]string {
	r := newReplica()
	past := []map[string]string{view(t, r)}
	for _, e := range events {
		r.follow(e)
		past = append(past, view(t, r))
	}
	return past
}

type failer interface {
	Fatal(...any)
	Errorf(string, ...any)
}

// writeJournal writes a journal that holds the states after the given numbers of events,
// and the rest as events.
func writeJournal(t failer, dir string, events []*entry, states ...int) {
	j, r, damage, err := openJournal(dir)
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	r.ID = "first"
	for i := range len(events) + 1 {
		for _, state := range states {
			if state == i {
				newGeneration(t, j, r)
			}
		}
		if i < len(events) {
			r.follow(events[i])
			if err := j.append(events[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

func newGeneration(t failer, j *journal, r *replica) {
	write, err := j.begin(r.freeze(), time.Time{})
	if err == nil {
		err = write()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAJournalGivesBackTheReplica(t *testing.T) {
	events := history(10)
	past := pastOf(t, events)
	for state := range len(events) + 1 {
		dir := t.TempDir()
		writeJournal(t, dir, events, state/2, state)
		j, got, damage, err := openJournal(dir)
		if err != nil || damage != nil {
			t.Fatal(err, damage)
		}
		j.close()
		last := events[len(events)-1]
		if got.FeedPosition != (api.FeedPosition{ID: "first", Seq: last.Seq, Mark: last.Mark}) || !maps.Equal(view(t, got), past[len(events)]) {
			t.Errorf("state of %d events: differs", state)
		}
	}
}

// Whatever happens to a file of the journal, what is read from it is a state that the
// platform had at that number, so that following from there leads to the platform's state.
func TestADamagedJournalIsThePastOrNothing(t *testing.T) {
	events := history(8)
	past := pastOf(t, events)
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		states := []int{rapid.IntRange(0, len(events)).Draw(t, "state")}
		if rapid.Bool().Draw(t, "two generations") {
			states = append(states, rapid.IntRange(states[0], len(events)).Draw(t, "second state"))
		}
		writeJournal(t, dir, events, states...)
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		path := rapid.SampledFrom(files).Draw(t, "file")
		damage(t, path)
		j, got, _, err := openJournal(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID == "" && len(states) > 1 {
			t.Fatal("the generation before is of no use")
		}
		if !maps.Equal(view(t, got), past[got.Seq]) {
			t.Fatalf("at %d: %v, want %v", got.Seq, view(t, got), past[got.Seq])
		}
		// What comes next is appended after the cut, and is there the next time.
		if got.ID == "" || j.log == nil {
			if !j.due(0, time.Time{}, 0) {
				t.Fatal("a journal of nothing must begin anew")
			}
			got.ID = "first"
			newGeneration(t, j, got)
		}
		for _, e := range events[got.Seq:] {
			if err := j.append(e); err != nil {
				t.Fatal(err)
			}
		}
		j.close()
		j, again, damage, err := openJournal(dir)
		if err != nil || damage != nil {
			t.Fatal(err, damage)
		}
		j.close()
		if !maps.Equal(view(t, again), past[len(events)]) {
			t.Fatal("after the repair: differs")
		}
	})
}

// damage cuts a file off, or changes a byte of it, or takes it away.
func damage(t *rapid.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
	switch rapid.SampledFrom([]string{"truncate", "flip", "remove"}).Draw(t, "damage") {
	case "truncate":
		text = text[:at]
	case "flip":
		text[at] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
	case "remove":
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A power cut while a state is written, at any byte of it: the generation before and all
// events are there.
func TestAStateThatWasNotFinishedIsNotMissed(t *testing.T) {
	events := history(4)
	past := pastOf(t, events)
	dir := t.TempDir()
	writeJournal(t, dir, events, 0)
	j, r, _, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("cut")
	j.create = func(path string) (logFile, error) {
		file, err := createFile(path)
		if strings.HasSuffix(path, unfinished) {
			return &limited{logFile: file, room: 100, err: full}, err
		}
		return file, err
	}
	write, err := j.begin(r.freeze(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	next := *events[0]
	next.Seq, next.Mark = r.Seq+1, "next"
	if err := j.append(&next); err != nil {
		t.Fatal(err)
	}
	if err := write(); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
	if j.failure() == nil {
		t.Error("nothing is said of it")
	}
	j.close()
	os.WriteFile(filepath.Join(dir, stateName+"9"+unfinished), []byte("half a state"), 0o600)
	_, got, damage, err := openJournal(dir)
	if err != nil || damage != nil || got.Seq != r.Seq+1 || !maps.Equal(view(t, got), past[len(events)]) {
		t.Errorf("at %d, %v, %v", got.Seq, damage, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+unfinished)); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// limited is a file on a disk that becomes full.
type limited struct {
	logFile
	room int
	err  error
}

func (f *limited) Write(b []byte) (int, error) {
	if len(b) <= f.room {
		f.room -= len(b)
		return f.logFile.Write(b)
	}
	n, _ := f.logFile.Write(b[:f.room])
	f.room = 0
	return n, f.err
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
	want := view(t, m.current)
	m.Close()
	sound := map[string][]byte{}
	for _, kind := range []string{stateName, logName} {
		files, err := filepath.Glob(filepath.Join(dir, kind+"*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, path := range files {
			if sound[path], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	restore := func() {
		for _, kind := range []string{stateName, logName} {
			files, _ := filepath.Glob(filepath.Join(dir, kind+"*"))
			for _, path := range files {
				os.Remove(path)
			}
		}
		for path, text := range sound {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, text := range sound {
		for at := 0; at < len(text); at += 1 + len(text)/6 {
			for name, damaged := range map[string][]byte{
				"cut":  text[:at],
				"flip": append(append(bytes.Clone(text[:at]), text[at]^0x55), text[at+1:]...),
			} {
				restore()
				if err := os.WriteFile(path, damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				m := open(t, p, Options{Dir: dir})
				inStep(t, m, p)
				m.Close()
				if !maps.Equal(view(t, m.current), want) {
					t.Errorf("%s at %d of %s: got %v, want %v", name, at, path, view(t, m.current), want)
				}
				_, kept, damage, err := openJournal(dir)
				if err != nil || damage != nil || !maps.Equal(view(t, kept), want) {
					t.Errorf("%s at %d of %s: the journal is not repaired: %v %v", name, at, path, err, damage)
				}
			}
		}
	}
}

func TestAnOvergrownJournalBeginsANewGeneration(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	for range 5000 {
		p.SetSIM(sim.ICCID, api.Suspended)
		p.SetSIM(sim.ICCID, api.Provisioned)
	}
	inStep(t, m, p)
	m.Close()
	j, kept, damage, err := openJournal(dir)
	if err != nil || damage != nil || kept.Seq != p.Head() || !maps.Equal(view(t, kept), view(t, m.current)) {
		t.Errorf("got %d, %v, %v", kept.Seq, damage, err)
	}
	states, logs, err := j.list()
	if err != nil || len(states) != 2 || len(logs) > 3 {
		t.Errorf("states %v, logs %v, %v: want two generations", states, logs, err)
	}
	if j.entries > 4500 {
		t.Errorf("the logs have %d events for 2 things", j.entries)
	}
}

// A frozen replica is written to disk while the other one goes on.
func TestAFrozenReplicaDoesNotChange(t *testing.T) {
	events := history(2000) // some chunks
	r := newReplica()
	for _, e := range events {
		r.follow(e)
	}
	want := view(t, r)
	frozen := r.freeze()
	for i, e := range events {
		changed := *e
		changed.Fleet, changed.State = "others", string(api.Revoked)
		if changed.ID == "" {
			changed.State = string(api.Terminated)
		}
		r.follow(&changed)
		if i%1000 == 0 {
			r.forget(time.Unix(2_000_000_000, 0), 0)
		}
	}
	got := map[string]string{}
	frozen.entries(func(e *entry) bool {
		got[e.ICCID+e.ID] = e.Fleet
		if e.Fleet != "meters" {
			t.Fatalf("the frozen replica has changed: %+v", e)
		}
		return true
	})
	if len(got) != len(want) {
		t.Errorf("got %d entries, want %d", len(got), len(want))
	}
}

func TestWhatIsOverAndPastItsEndIsForgotten(t *testing.T) {
	r := newReplica()
	for _, e := range history(6) {
		r.follow(e)
	}
	r.forget(time.Unix(1_900_000_000, 0), 0)
	if n := r.credentials.len(); n != 6 {
		t.Errorf("at its end: %d credentials, want 6", n)
	}
	r.forget(time.Unix(1_900_000_001, 0), 0)
	if n := r.credentials.len(); n != 4 || len(view(t, r)) != 4+6 {
		t.Errorf("after it: %d credentials, %v", n, view(t, r))
	}
	// Their places are given to others.
	for _, e := range history(6) {
		r.follow(e)
	}
	if r.credentials.len() != 6 || r.credentials.used != 6 || len(view(t, r)) != 12 {
		t.Errorf("told again: %d in %d places", r.credentials.len(), r.credentials.used)
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

// A full disk stops the journal, and must stop neither a revocation nor the service. When
// there is room again, all of it is kept again.
func TestAFullDiskStopsNeitherRevocationsNorTheServiceAndIsSaid(t *testing.T) {
	p := platformtest.New(t)
	sim, good := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	p.Heartbeat(5 * time.Millisecond)
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir, retryDisk: time.Nanosecond})
	beats := func(until func() bool) {
		t.Helper()
		for late := time.Now().Add(patience); !until(); {
			if time.Now().After(late) {
				t.Fatalf("waited in vain: %+v", m.Synced())
			}
			p.SetSIM(good.ICCID, api.Provisioned)
			inStep(t, m, p)
		}
	}
	beats(func() bool { return m.Synced().DiskErr == nil })
	m.journal.mu.Lock()
	m.journal.create = func(string) (logFile, error) { return nil, syscall.ENOSPC }
	m.journal.log = &limited{logFile: m.journal.log, room: 20, err: syscall.ENOSPC}
	m.journal.mu.Unlock()

	p.SetCredential(sim.Credential, api.Revoked)
	inStep(t, m, p)
	if _, err := m.Lookup(sim.Fingerprint); !errors.Is(err, ErrRevoked) {
		t.Errorf("got %v, want ErrRevoked", err)
	}
	if _, err := m.Lookup(good.Fingerprint); err != nil {
		t.Error(err)
	}
	beats(func() bool { return errors.Is(m.Synced().DiskErr, syscall.ENOSPC) })

	m.journal.mu.Lock()
	m.journal.create = createFile
	m.journal.mu.Unlock()
	beats(func() bool { return m.Synced().DiskErr == nil })
	m.Close()
	_, kept, damage, err := openJournal(dir)
	if err != nil || damage != nil || kept.Seq != p.Head() || !maps.Equal(view(t, kept), view(t, m.current)) {
		t.Errorf("after it: at %d of %d, %v, %v", kept.Seq, p.Head(), damage, err)
	}
}

func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	writeJournal(f, dir, history(8), 4)
	for _, name := range []string{stateName + "1", logName + "1"} {
		sound, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sound)
		f.Add(sound[:len(sound)/2])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, _, err := parseState(bytes.NewReader(text)); err == nil {
			view(t, r)
			return
		}
		r := newReplica()
		head, _, err := readHead(frameReader(bytes.NewReader(text)), logFormat)
		if err != nil {
			return
		}
		r.FeedPosition = head.at
		good, _, _, damage := replayLog(bytes.NewReader(text), r)
		if good > int64(len(text)) || damage == nil && good != int64(len(text)) {
			t.Errorf("good %d of %d, %v", good, len(text), damage)
		}
		view(t, r)
	})
}
