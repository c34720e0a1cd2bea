package platform

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/rollover"
	"github.com/simroot/simroot/internal/platform/store"
)

// casStep is a step of a rollover, with what is to be seen after it.
type casStep struct {
	action string
	do     func(context.Context, *rollover.Rollover) error
	state  api.RolloverState
}

func casSteps(pass func(time.Duration)) []casStep {
	begin := func(ctx context.Context, r *rollover.Rollover) error {
		_, err := r.Begin(ctx, "test", api.Change{})
		return err
	}
	return []casStep{
		{"ca.rollover-begun", begin, api.RolloverBegun},
		{"ca.rollover-aborted", func(ctx context.Context, r *rollover.Rollover) error {
			_, err := r.Abort(ctx, "test", api.Change{})
			return err
		}, api.NoRollover},
		{"ca.rollover-begun", begin, api.RolloverBegun},
		{"ca.rollover-finished", func(ctx context.Context, r *rollover.Rollover) error {
			_, err := r.Finish(ctx, "test", api.FinishRollover{})
			return err
		}, api.RolloverFinished},
		{"ca.retired", func(ctx context.Context, r *rollover.Rollover) error {
			pass(91 * 24 * time.Hour)
			return r.Work(ctx)
		}, api.NoRollover},
	}
}

// errCut is the end of a process.
var errCut = errors.New("cut")

// cutting ends a process at an update: before it, before its commit, or after it.
type cutting struct {
	store.Store
	at string
}

func (c cutting) Update(ctx context.Context, fn func(store.Tx) error) error {
	switch c.at {
	case "before the transaction":
		return errCut
	case "before its commit":
		return c.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), errCut) })
	}
	return errors.Join(c.Store.Update(ctx, fn), errCut)
}

// Wherever a step is cut, the next start makes good what follows from the rows, and the step, if it has not
// happened, can be taken again. The audit log has each step once.
func TestACutAtAnyStepOfARolloverIsRepairedByTheNextStart(t *testing.T) {
	for _, at := range []string{"before the transaction", "before its commit", "after its commit"} {
		t.Run(at, func(t *testing.T) {
			dir, _ := newFolder(t, Options{})
			now := time.Now()
			o := Options{Clock: func() time.Time { return now }}
			opened := func() *Platform {
				t.Helper()
				p, err := Open(dir, o)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			// What a process leaves that is killed while it makes keys.
			half := filepath.Join(dir, "ca", "unplaced-1")
			if err := errors.Join(os.Mkdir(half, 0o700), os.WriteFile(filepath.Join(half, "root.key"), []byte("half"), 0o600)); err != nil {
				t.Fatal(err)
			}
			was := api.NoRollover
			wanted := map[string]int{"ca.stored": 1}
			for i, step := range casSteps(func(d time.Duration) { now = now.Add(d) }) {
				p := opened()
				err := step.do(t.Context(), rollover.New(rollover.Options{Store: cutting{p.store, at}, CA: p.authority, Clock: o.Clock}))
				if !errors.Is(err, errCut) {
					t.Fatalf("step %d: %v, want the cut", i, err)
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				p = opened()
				is := was
				if at == "after its commit" {
					is = step.state
				}
				check := func(want api.RolloverState) {
					t.Helper()
					s, err := p.rollover.Status(t.Context())
					if err != nil || s.State != want {
						t.Fatalf("%s (step %d): the rollover is %q, want %q, %v", step.action, i, s.State, want, err)
					}
					shown, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
					roots := 1
					if want != api.NoRollover {
						roots = 2
					}
					if err != nil || !bytes.Equal(shown, p.authority.Anchors()) || bytes.Count(shown, []byte("BEGIN")) != roots {
						t.Errorf("%s (step %d): ca.pem has %d roots, want %d", step.action, i, bytes.Count(shown, []byte("BEGIN")), roots)
					}
					if leaf := p.certificate.current.Load().Leaf; leaf.CheckSignatureFrom(p.authority.Issuer()) != nil {
						t.Errorf("%s (step %d): the platform shows a certificate that the CA which issues has not signed", step.action, i)
					}
				}
				check(is)
				if at != "after its commit" || step.action != "ca.retired" { // a repetition
					if err := step.do(t.Context(), p.rollover); err != nil {
						t.Fatalf("%s (step %d): %v", step.action, i, err)
					}
				}
				check(step.state)
				keys, err := filepath.Glob(filepath.Join(dir, "ca", "*", "*.key"))
				of := 2 // the second CA has two
				if step.action == "ca.rollover-aborted" {
					of = 0
				}
				if err != nil || len(keys) != of {
					t.Errorf("%s (step %d): keys in %v, %v", step.action, i, keys, err)
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				was = step.state
				wanted[step.action]++
			}
			if got := casEntries(t, dir, o); fmt.Sprint(got) != fmt.Sprint(wanted) {
				t.Errorf("the audit log has %v, want %v", got, wanted)
			}
			if _, err := VerifyAudit(t.Context(), dir, o); err != nil {
				t.Error(err)
			}
		})
	}
}

// casEntries counts the entries of the audit log about CAs.
func casEntries(t *testing.T, dir string, o Options) map[string]int {
	t.Helper()
	p, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	counts := map[string]int{}
	err = p.store.View(t.Context(), func(tx store.Tx) error {
		all, err := tx.Audit(0, 1000)
		for _, e := range all {
			if len(e.Action) > 3 && e.Action[:3] == "ca." {
				counts[e.Action]++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// older makes a folder that of the version before, as the migration leaves it: the line of CAs in a file, and in none if there had never been
// a rollover.
func older(t *testing.T, dir string, s api.CARollover, issuing int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "platform.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("DELETE FROM cas"); err != nil {
		t.Fatal(err)
	}
	line := map[string]any{"issuing": issuing}
	switch {
	case s.State == api.RolloverBegun:
		line["next"], line["since"] = issuing+1, s.Since
	case s.State == api.RolloverFinished:
		line["before"], line["since"], line["until"] = issuing-1, s.Since, s.Until
	case issuing == 1:
		return
	}
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca", "line.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A folder of the version before is taken over in every state of a rollover, goes on from there, and what it had
// written down of old does not turn it back.
func TestTheLineOfCAsInAFileIsTakenOver(t *testing.T) {
	now := time.Now()
	o := Options{Clock: func() time.Time { return now }}
	steps := casSteps(func(d time.Duration) { now = now.Add(d) })
	steps = slices.Delete(steps, 1, 3) // begin, finish, retire
	for done := range len(steps) + 1 {
		dir, _ := newFolder(t, Options{})
		take := func(from, to int) (s api.CARollover, anchors []byte) {
			t.Helper()
			p, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for _, step := range steps[from:to] {
				if err := step.do(t.Context(), p.rollover); err != nil {
					t.Fatal(err)
				}
			}
			if s, err = p.rollover.Status(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s, p.authority.Anchors()
		}
		before, anchors := take(0, done)
		issuing := 1
		if done >= 2 {
			issuing = 2
		}
		older(t, dir, before, issuing)
		after, again := take(done, done)
		if fmt.Sprint(after) != fmt.Sprint(before) || !bytes.Equal(anchors, again) {
			t.Errorf("after %d steps it was %+v, and is %+v", done, before, after)
		}
		if done < len(steps) {
			after, again = take(done, done+1)
			if after.State != steps[done].state {
				t.Errorf("after %d steps the next one leads to %+v", done, after)
			}
			if s, anchors := take(done, done); fmt.Sprint(s) != fmt.Sprint(after) || !bytes.Equal(anchors, again) {
				t.Errorf("after %d steps and another, a start has turned %+v to %+v", done, after, s)
			}
		}
		if _, err := VerifyAudit(t.Context(), dir, o); err != nil {
			t.Error(err)
		}
	}
}

// A node whose folder was behind may have been the first to bring its line into the database: the folder that knows
// more puts that right.
func TestOfTwoFoldersTheOneThatKnowsALaterCACounts(t *testing.T) {
	dir, _ := newFolder(t, Options{})
	open := func() (s api.CARollover) {
		t.Helper()
		p, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if s, err = p.rollover.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	p, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{0, 3} {
		if err := casSteps(nil)[step].do(t.Context(), p.rollover); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	finished := open()
	older(t, dir, finished, 2)
	line := filepath.Join(dir, "ca", "line.json")
	if err := os.Rename(line, line+".away"); err != nil { // the folder of the other node
		t.Fatal(err)
	}
	if s := open(); s.State != api.NoRollover || s.Issuing != finished.Before {
		t.Fatalf("%+v", s)
	}
	if err := os.Rename(line+".away", line); err != nil {
		t.Fatal(err)
	}
	if s := open(); fmt.Sprint(s) != fmt.Sprint(finished) {
		t.Errorf("%+v, want %+v", s, finished)
	}
}

func TestABackupHoldsTheLineOfCAs(t *testing.T) {
	dir, _ := newFolder(t, Options{})
	backup := filepath.Join(t.TempDir(), "backup")
	run := func(steps ...int) (anchors []byte, issuer *x509.Certificate) {
		t.Helper()
		p, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, step := range steps {
			if err := casSteps(nil)[step].do(t.Context(), p.rollover); err != nil {
				t.Fatal(err)
			}
		}
		return p.authority.Anchors(), p.authority.Issuer()
	}
	begun, _ := run(0)
	if err := Backup(t.Context(), dir, backup); err != nil {
		t.Fatal(err)
	}
	_, young := run(3)
	if _, err := Restore(t.Context(), dir, backup, Options{}); err != nil {
		t.Fatal(err)
	}
	anchors, old := run()
	if !bytes.Equal(anchors, begun) || old.Equal(young) {
		t.Error("the line of the backup's time is not back")
	}
	if shown, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil || !bytes.Equal(shown, anchors) {
		t.Errorf("ca.pem does not follow: %v", err)
	}
	if _, again := run(3); !again.Equal(young) {
		t.Error("finished again, another CA issues")
	}
}

// A step that is named by a key is part of the transaction in which its answer is kept. What follows from it
// follows when that is committed.
func TestAStepOfARolloverMayBeRepeatedUnderItsKey(t *testing.T) {
	dir, secret := newFolder(t, Options{})
	p, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, _ := serveOpen(t, p, dir, secret)
	begin, finish := api.WithIdempotencyKey(t.Context(), "begin"), api.WithIdempotencyKey(t.Context(), "finish")
	for range 2 {
		if s, err := client.BeginRollover(begin, api.Change{}); err != nil || s.State != api.RolloverBegun {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	for range 2 {
		if s, err := client.FinishRollover(finish, api.FinishRollover{}); err != nil || s.State != api.RolloverFinished {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if err := p.followCAs(t.Context()); err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil || !bytes.Equal(shown, p.authority.Anchors()) || bytes.Count(shown, []byte("BEGIN")) != 2 {
		t.Errorf("ca.pem has %d roots, %v", bytes.Count(shown, []byte("BEGIN")), err)
	}
	if s, err := client.Rollover(t.Context()); err != nil || s.Issuing != p.authority.Root().Subject.CommonName {
		t.Errorf("%+v, %v", s, err)
	}
}
