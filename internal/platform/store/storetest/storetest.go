// Package storetest is what every store of the platform must do, as tests.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// Run holds a store to its contract. Open opens the store that is kept in a folder, empty
// the first time.
func Run(t *testing.T, open func(t *testing.T, dir string) store.Store) {
	for name, test := range map[string]func(*testing.T, store.Store){
		"rows come back as they went in":                                     rowsComeBack,
		"application servers come back as they went in":                      appServersComeBack,
		"answers are kept until they expire":                                 answersExpire,
		"the fleets of many SIMs are looked up at once":                      fleetsOfMany,
		"answers move to another key-encryption key as other secrets do":     answersMove,
		"lists go by pages in the order of keys":                             listsGoByPages,
		"a failed update changes nothing":                                    failedUpdate,
		"a panic undoes only its own update":                                 panicIsContained,
		"a view cannot change anything":                                      viewCannotChange,
		"a view sees what was acknowledged before it":                        viewSeesAcknowledged,
		"a view keeps its snapshot":                                          viewKeepsSnapshot,
		"there are never two active or two unfinished credentials":           neverTwo,
		"events are numbered in the order of commits, without gaps":          eventsFollowCommits,
		"the head moves after the commit and wakes those who wait":           headMoves,
		"what was appended is found, and only that of updates that succeed":  findsAppended,
		"an update appends as much as it likes, and all of it or nothing":    appendsMuch,
		"an update whose caller has gone does not begin":                     callerGone,
		"a fleet's profile changes with its version, and no other's":         fleetChanges,
		"what a SIM has begun and what has ended is counted by SIM":          beganAndEnded,
		"what remains of a campaign is read from SIMs and credentials":       campaignRemains,
		"the results of a campaign are kept by SIM":                          campaignResults,
		"the revision counts, and remembers when lists were refreshed":       revisions,
		"revoked certificates are found by serial, shard and revision":       revokedCertificates,
		"certificates of servers come back, by age":                          serverCertificates,
		"a certificate is known if a SIM or any server has it":               knownCertificates,
		"the certificates of an application server are found until they end": appServerCertificates,
		"audit entries are a chain":                                          auditChain,
		"expiring credentials are found when their time has come":            expiring,
		"the SIMs of a batch are hidden until it is loaded":                  batchesLoad,
		"of many SIMs those that are not there yet are made, each once":      manySIMs,
		"transport keys are used once, and forgotten":                        transportKeysAreUsedOnce,
		"envelopes are found by their key-encryption key and replaced once":  envelopesMove,
		"CAs stand in line, one of them issuing, and their steps count":      casStandInLine,
		"the last end is that of all certificates in use":                    lastEndOfAll,
		"nodes are known until they have not been seen for a while":          nodesAreForgotten,
		"a SIM has one enrolment secret, the one that was set last":          oneEnrolmentSecret,
		"a certificate is found by its serial number":                        foundBySerial,
		"a SIM was revoked if a credential in use was, not a superseded one": wasRevoked,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			t.Cleanup(func() { s.Close() })
			test(t, s)
		})
	}
	t.Run("a closed store refuses", func(t *testing.T) {
		s := open(t, t.TempDir())
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		nothing := func(store.Tx) error { return nil }
		if err := s.Update(t.Context(), nothing); !errors.Is(err, store.ErrClosed) {
			t.Errorf("update: %v", err)
		}
		if err := s.View(t.Context(), nothing); !errors.Is(err, store.ErrClosed) {
			t.Errorf("view: %v", err)
		}
	})
	t.Run("what was acknowledged is there after opening again", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		fill(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		defer s.Close()
		if head, _ := s.Head(); head != 1 {
			t.Errorf("the head is %d, want 1", head)
		}
		view(t, s, func(tx store.Tx) error {
			_, err := tx.SIM(iccid(0))
			return err
		})
	})
}

var day = time.Date(2026, 11, 24, 8, 0, 0, 123456000, time.UTC)

func iccid(n int) string { return fmt.Sprintf("898821%013d", n) }

func update(t testing.TB, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func simRow(n int) store.SIM {
	return store.SIM{
		SIM:        api.SIM{ICCID: iccid(n), Fleet: "meters", State: api.Imported, Created: day, Updated: day},
		KeyVersion: 0x30, Domain: []byte{0xA0, 0, 0, 1, 0x51}, Keys: []byte("sealed"),
	}
}

func credentialRow(id string, n int, state api.CredentialState) store.Credential {
	return store.Credential{Credential: api.Credential{
		ID: id, ICCID: iccid(n), Fleet: "meters", Type: api.CertificateType, State: state, Slot: 1, Created: day, Updated: day,
	}}
}

// fill makes a fleet with three SIMs and one event.
func fill(t testing.TB, s store.Store) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		err := tx.InsertFleet(api.Fleet{Name: "meters", Profile: api.Profile{}.WithDefaults(), Created: day})
		for n := range 3 {
			err = errors.Join(err, tx.InsertSIM(simRow(n)))
		}
		row := simRow(0).SIM
		_, eventErr := tx.AppendEvent(api.Event{Time: day, SIM: &row})
		return errors.Join(err, eventErr)
	})
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func rowsComeBack(t *testing.T, s store.Store) {
	fill(t, s)
	sim := simRow(1)
	sim.State, sim.Session, sim.LastSeen, sim.Updated = api.Seen, "session", day.Add(time.Second), day.Add(time.Minute)
	sim.Attributes = api.Attributes{"site": "Zürich", "tenant": "a"}
	certificate := credentialRow("c1", 1, api.Requested)
	full := certificate
	full.State, full.PublicKey, full.Secret = api.Active, []byte("key"), []byte("sealed")
	full.Certificate, full.Fingerprint, full.Serial, full.Identity = []byte("der"), []byte("hash"), "ab12", "me"
	full.Confirmation = &api.Confirmation{Challenge: []byte("c"), Proof: []byte("p")}
	full.NotBefore, full.NotAfter = day.Add(-time.Hour), day.Add(time.Hour)
	full.Reason, full.RevokedFrom, full.Updated = api.ReasonKeyCompromise, api.Active, day.Add(time.Second)
	token := store.Token{
		Token: api.Token{ID: "t1", Name: "me", Role: api.RoleOperator, Fleets: []string{"meters", "tags"}, Created: day, Expires: day.Add(time.Hour)},
		Hash:  [32]byte{1, 2, 3}, SealingKey: []byte("key"),
	}
	entry := api.AuditEntry{Time: day, Actor: "me", Action: "sim.seen", Subject: sim.ICCID, Before: "imported", After: "seen", Note: "note"}
	update(t, s, func(tx store.Tx) error {
		_, err := tx.AppendAudit(entry)
		return errors.Join(err, tx.UpdateSIM(sim), tx.InsertCredential(certificate), tx.UpdateCredential(full),
			tx.InsertToken(token), tx.SetSetting("a", "1"), tx.SetSetting("a", "2"))
	})
	view(t, s, func(tx store.Tx) error {
		gotSIM, err1 := tx.SIM(sim.ICCID)
		gotCredential, err2 := tx.Credential("c1")
		gotStep, err8 := tx.Step("c1")
		gotStanding, err9 := tx.Standing(sim.ICCID)
		gotToken, err3 := tx.TokenByHash(token.Hash)
		gotAudit, err4 := tx.Audit(0, 10)
		gotFleet, err5 := tx.Fleet("meters")
		gotSetting, err6 := tx.Setting("a")
		gotEvents, err7 := tx.Events(0, 10)
		same(t, "SIM", gotSIM, sim)
		same(t, "credential", gotCredential, full)
		same(t, "token", gotToken, token)
		entry.Seq = 1
		entry.Hash = entry.Chained(api.AuditHash{})
		same(t, "audit", gotAudit, []api.AuditEntry{entry})
		same(t, "fleet", gotFleet, api.Fleet{Name: "meters", Profile: api.Profile{}.WithDefaults(), Created: day})
		same(t, "setting", gotSetting, "2")
		same(t, "step", gotStep, store.Step{Credential: full, SIM: sim, FleetVersion: gotFleet.Version})
		same(t, "standing", gotStanding, store.Standing{SIM: sim, Fleet: gotFleet})
		first := simRow(0).SIM
		same(t, "events", gotEvents, []api.Event{{Seq: 1, Time: day, SIM: &first}})
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9)
	})
	for what, get := range map[string]func(store.Tx) error{
		"SIM":                 func(tx store.Tx) error { _, err := tx.SIM("none"); return err },
		"fleet":               func(tx store.Tx) error { _, err := tx.Fleet("none"); return err },
		"credential":          func(tx store.Tx) error { _, err := tx.Credential("none"); return err },
		"step":                func(tx store.Tx) error { _, err := tx.Step("none"); return err },
		"standing":            func(tx store.Tx) error { _, err := tx.Standing("none"); return err },
		"token":               func(tx store.Tx) error { _, err := tx.Token("none"); return err },
		"setting":             func(tx store.Tx) error { _, err := tx.Setting("none"); return err },
		"revoked certificate": func(tx store.Tx) error { _, err := tx.RevokedCertificate("none"); return err },
		"server certificate":  func(tx store.Tx) error { _, err := tx.ServerCertificate("none"); return err },
		"update":              func(tx store.Tx) error { return tx.UpdateSIM(store.SIM{SIM: api.SIM{ICCID: "none"}}) },
	} {
		if err := s.Update(t.Context(), get); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a %s that is not there: %v", what, err)
		}
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertSIM(sim) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("a SIM that is there already: %v", err)
	}
}

func listsGoByPages(t *testing.T, s store.Store) {
	fill(t, s)
	view(t, s, func(tx store.Tx) error {
		first, err1 := tx.ListSIMs(store.SIMFilter{Fleet: "meters"}, "", 2)
		rest, err2 := tx.ListSIMs(store.SIMFilter{}, iccid(1), 2)
		none, err3 := tx.ListSIMs(store.SIMFilter{Fleet: "meters", State: api.Seen}, "", 2)
		same(t, "first page", first, []store.SIM{simRow(0), simRow(1)})
		same(t, "second page", rest, []store.SIM{simRow(2)})
		same(t, "another state", len(none), 0)
		return errors.Join(err1, err2, err3)
	})
}

var errOnPurpose = errors.New("on purpose")

func failedUpdate(t *testing.T, s store.Store) {
	fill(t, s)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.InsertSIM(simRow(9)); err != nil {
			return err
		}
		return errOnPurpose
	})
	if !errors.Is(err, errOnPurpose) {
		t.Fatalf("got %v", err)
	}
	err = s.View(t.Context(), func(tx store.Tx) error { _, err := tx.SIM(iccid(9)); return err })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the SIM of a failed update: %v", err)
	}
}

// together runs updates so that they wait for the writer at the same time.
func together(t *testing.T, s store.Store, updates ...func(store.Tx) error) []error {
	running, gate := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Update(t.Context(), func(store.Tx) error { close(running); <-gate; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-running
	results := make([]error, len(updates))
	for i, fn := range updates {
		wg.Go(func() { results[i] = s.Update(t.Context(), fn) })
	}
	close(gate)
	wg.Wait()
	return results
}

func panicIsContained(t *testing.T, s store.Store) {
	fill(t, s)
	var updates []func(store.Tx) error
	for n := range 30 {
		updates = append(updates, func(tx store.Tx) error {
			if err := tx.InsertSIM(simRow(100 + n)); err != nil {
				return err
			}
			switch n % 3 {
			case 1:
				panic("on purpose")
			case 2:
				return errOnPurpose
			}
			return nil
		})
	}
	for n, err := range together(t, s, updates...) {
		there := s.View(t.Context(), func(tx store.Tx) error { _, err := tx.SIM(iccid(100 + n)); return err })
		switch n % 3 {
		case 0:
			if err != nil || there != nil {
				t.Errorf("update %d: %v, its SIM: %v", n, err, there)
			}
		case 1:
			if err == nil || !strings.Contains(err.Error(), "panicked: on purpose") || !errors.Is(there, store.ErrNotFound) {
				t.Errorf("update %d panicked: %v, its SIM: %v", n, err, there)
			}
		case 2:
			if !errors.Is(err, errOnPurpose) || !errors.Is(there, store.ErrNotFound) {
				t.Errorf("update %d failed: %v, its SIM: %v", n, err, there)
			}
		}
	}
}

func viewCannotChange(t *testing.T, s store.Store) {
	fill(t, s)
	if err := s.View(t.Context(), func(tx store.Tx) error { return tx.InsertSIM(simRow(9)) }); err == nil {
		t.Error("a view has inserted a SIM")
	}
}

func viewSeesAcknowledged(t *testing.T, s store.Store) {
	fill(t, s)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 10 {
				row := simRow(1000 + 100*n + k)
				if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertSIM(row) }); err != nil {
					t.Error(err)
				}
				if err := s.View(t.Context(), func(tx store.Tx) error { _, err := tx.SIM(row.ICCID); return err }); err != nil {
					t.Errorf("a SIM whose import was acknowledged: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func viewKeepsSnapshot(t *testing.T, s store.Store) {
	fill(t, s)
	view(t, s, func(tx store.Tx) error {
		before, err := tx.ListSIMs(store.SIMFilter{}, "", 10)
		if err != nil {
			return err
		}
		update(t, s, func(tx store.Tx) error { return tx.InsertSIM(simRow(9)) })
		after, err := tx.ListSIMs(store.SIMFilter{}, "", 10)
		same(t, "the list within one view", after, before)
		return err
	})
}

func neverTwo(t *testing.T, s store.Store) {
	fill(t, s)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.InsertCredential(credentialRow("a", 0, api.Active)), tx.InsertCredential(credentialRow("b", 0, api.Keyed)))
	})
	for _, state := range []api.CredentialState{api.Requested, api.Keyed, api.Issued, api.Delivered, api.Active} {
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertCredential(credentialRow("c", 0, state)) })
		if !errors.Is(err, store.ErrExists) {
			t.Errorf("a further credential that is %s: %v", state, err)
		}
	}
}

func eventsFollowCommits(t *testing.T, s store.Store) {
	fill(t, s)
	// Each update counts on, and says on the feed what it counted: the order of the
	// counts is that of the commits.
	count := 0
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for k := range 20 {
				fail := k%5 == 4
				err := s.Update(t.Context(), func(tx store.Tx) error {
					sim := simRow(count + 1).SIM
					if _, err := tx.AppendEvent(api.Event{Time: day, SIM: &sim}); err != nil {
						return err
					}
					if fail {
						return errOnPurpose
					}
					count++
					return nil
				})
				if !fail && err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	view(t, s, func(tx store.Tx) error {
		events, err := tx.Events(0, 1000)
		same(t, "number of events", len(events), 1+16*16)
		for i, e := range events {
			if e.Seq != int64(i+1) || e.SIM.ICCID != iccid(i) {
				t.Fatalf("event %d has number %d and is about %s", i+1, e.Seq, e.SIM.ICCID)
			}
		}
		return err
	})
}

func findsAppended(t *testing.T, s store.Store) {
	fill(t, s)
	var updates []func(store.Tx) error
	for n := range 30 {
		updates = append(updates, func(tx store.Tx) error {
			sim := simRow(n).SIM
			seq, err := tx.AppendEvent(api.Event{Time: day, SIM: &sim})
			if err != nil || n%3 == 0 {
				return err
			}
			events, err := tx.Events(seq-1, 10)
			if err != nil || len(events) != 1 || events[0].SIM.ICCID != sim.ICCID {
				t.Errorf("update %d finds %d events, %v", n, len(events), err)
			}
			if n%3 == 1 {
				return errOnPurpose
			}
			return err
		})
	}
	for n, err := range together(t, s, updates...) {
		if failed := n%3 == 1; failed != errors.Is(err, errOnPurpose) || !failed && err != nil {
			t.Errorf("update %d: %v", n, err)
		}
	}
	view(t, s, func(tx store.Tx) error {
		events, err := tx.Events(1, 100)
		same(t, "number of events", len(events), 20)
		for i, e := range events {
			if e.Seq != int64(i+2) {
				t.Errorf("event %d has number %d", i+2, e.Seq)
			}
		}
		return err
	})
}

func appendsMuch(t *testing.T, s store.Store) {
	fill(t, s)
	const many = 2500 // more than an engine keeps back
	sim := simRow(1).SIM
	lot := func(outcome error) func(store.Tx) error {
		return func(tx store.Tx) error {
			for range many {
				if _, err := tx.AppendEvent(api.Event{Time: day, SIM: &sim}); err != nil {
					return err
				}
			}
			return outcome
		}
	}
	for n, err := range together(t, s, lot(nil), lot(errOnPurpose), lot(nil)) {
		if failed := n == 1; failed != errors.Is(err, errOnPurpose) || !failed && err != nil {
			t.Errorf("update %d: %v", n, err)
		}
	}
	view(t, s, func(tx store.Tx) error {
		events, err := tx.Events(1, 3*many)
		same(t, "number of events", len(events), 2*many)
		return err
	})
}

func headMoves(t *testing.T, s store.Store) {
	before, changed := s.Head()
	select {
	case <-changed:
		t.Fatal("the head has moved without an event")
	default:
	}
	fill(t, s)
	<-changed
	if head, _ := s.Head(); head != before+1 {
		t.Errorf("the head is %d, want %d", head, before+1)
	}
	_, changed = s.Head()
	update(t, s, func(tx store.Tx) error { return tx.SetSetting("a", "1") })
	select {
	case <-changed:
		t.Error("an update without an event has moved the head")
	default:
	}
}

func callerGone(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	if err := s.Update(ctx, func(store.Tx) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("got %v, ran %v", err, ran)
	}
}

func expiring(t *testing.T, s store.Store) {
	fill(t, s)
	update(t, s, func(tx store.Tx) error {
		var err error
		for n, state := range []api.CredentialState{api.Active, api.Delivered, api.Superseded} {
			c := credentialRow(string(state), n, state)
			c.NotAfter = day.Add(time.Duration(n) * time.Second)
			err = errors.Join(err, tx.InsertCredential(c))
		}
		return err
	})
	for seconds, want := range []int{1, 2, 2} {
		view(t, s, func(tx store.Tx) error {
			got, err := tx.Expiring(day.Add(time.Duration(seconds)*time.Second), 10)
			same(t, fmt.Sprintf("after %d seconds", seconds), len(got), want)
			return err
		})
	}
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Expiring(day.Add(-time.Microsecond), 10)
		same(t, "before", len(got), 0)
		return err
	})
}

func wasRevoked(t *testing.T, s store.Store) {
	fill(t, s)
	for n, from := range []api.CredentialState{api.Superseded, api.Active, api.Keyed} {
		update(t, s, func(tx store.Tx) error {
			c := credentialRow(string(from), n, api.Revoked)
			c.RevokedFrom = from
			return tx.InsertCredential(c)
		})
		view(t, s, func(tx store.Tx) error {
			standing, err := tx.Standing(iccid(n))
			was, err2 := tx.WasRevoked(iccid(n))
			same(t, "standing, revoked from "+string(from), standing.Revoked, from != api.Superseded)
			same(t, "revoked from "+string(from), was, from != api.Superseded)
			return errors.Join(err, err2)
		})
	}
}

func nodesAreForgotten(t *testing.T, s store.Store) {
	here := store.Node{ID: "a", Address: "127.0.0.1:1", Fingerprint: []byte{1}, Seen: day}
	gone := store.Node{ID: "b", Address: "127.0.0.1:2", Fingerprint: []byte{2}, Seen: day.Add(-time.Hour)}
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.PutNode(gone), tx.PutNode(here)) })
	here.Seen, here.Address = day.Add(time.Minute), "127.0.0.1:3"
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.PutNode(here), tx.DeleteNodes(day)) })
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Node("a")
		known, err2 := tx.HasNode([]byte{1})
		forgotten, err3 := tx.HasNode([]byte{2})
		same(t, "node", got, here)
		same(t, "known", known, true)
		same(t, "forgotten", forgotten, false)
		return errors.Join(err, err2, err3)
	})
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.DeleteNode("a"), tx.DeleteNode("a")) })
	if err := s.View(t.Context(), func(tx store.Tx) error { _, err := tx.Node("a"); return err }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a node that has left: %v", err)
	}
}

func envelopesMove(t *testing.T, s store.Store) {
	a, b := [8]byte{1, 0xFF}, [8]byte{2}
	under := func(kek [8]byte, rest string) []byte { return append(append([]byte{2}, kek[:]...), rest...) }
	update(t, s, func(tx store.Tx) error {
		err := tx.InsertFleet(api.Fleet{Name: "meters", Profile: api.Profile{}.WithDefaults(), Created: day})
		for n := range 3 {
			row := simRow(n)
			row.Keys = under(a, fmt.Sprint(n))
			err = errors.Join(err, tx.InsertSIM(row))
		}
		psk, bare := credentialRow("c1", 1, api.Active), credentialRow("c2", 1, api.Superseded)
		psk.Secret = under(a, "psk")
		early := simRow(3) // in an envelope of version 1, which names no key
		early.Keys = []byte("\x01 early")
		err = errors.Join(err, tx.InsertSIM(early))
		return errors.Join(err, tx.InsertCredential(psk), tx.InsertCredential(bare), tx.UpdateCredential(psk))
	})
	first := store.Envelope{Kind: store.SIMEnvelope, Key: iccid(0), Sealed: under(a, "0")}
	psk := store.Envelope{Kind: store.CredentialEnvelope, Key: "c1", Sealed: under(a, "psk")}
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.ReplaceEnvelope(first, under(b, "0")), tx.ReplaceEnvelope(psk, under(b, "psk")))
	})
	for _, gone := range []store.Envelope{first, psk, {Kind: store.SIMEnvelope, Key: "none"}} {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.ReplaceEnvelope(gone, under(b, "late")) }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an envelope that has changed is replaced: %v", err)
		}
	}
	view(t, s, func(tx store.Tx) error {
		left, err1 := tx.EnvelopesNotUnder(store.SIMEnvelope, b, "", 1)
		last, err2 := tx.EnvelopesNotUnder(store.SIMEnvelope, b, iccid(1), 10)
		none, err3 := tx.EnvelopesNotUnder(store.CredentialEnvelope, b, "", 10)
		counts, err4 := tx.CountEnvelopes()
		same(t, "first page", left, []store.Envelope{{Kind: store.SIMEnvelope, Key: iccid(1), Sealed: under(a, "1")}})
		same(t, "second page", last, []store.Envelope{{Kind: store.SIMEnvelope, Key: iccid(2), Sealed: under(a, "2")}, {Kind: store.SIMEnvelope, Key: iccid(3), Sealed: []byte("\x01 early")}})
		same(t, "secrets of credentials", len(none), 0)
		same(t, "counts", counts, map[[8]byte]int{a: 2, b: 2, {}: 1})
		return errors.Join(err1, err2, err3, err4)
	})
}
