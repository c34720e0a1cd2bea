package credential_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// page is where the tables stand for people.
const page = "../../../docs/platform/lifecycle.md"

// outcome is a cell: the state that a verb leads to, or the code with which it is refused.
func outcome(state string, err error) string {
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal):
		return "`" + string(refusal.Code) + "`"
	case err != nil:
		return err.Error()
	}
	return state
}

// rows makes a table: a line for each state, a column for each verb.
func rows(states, verbs []string, cell func(state, verb string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|%s\n", strings.Join(verbs, " | "), strings.Repeat(" --- |", len(verbs)+1))
	for _, state := range states {
		fmt.Fprintf(&b, "| **%s** |", state)
		for _, verb := range verbs {
			fmt.Fprintf(&b, " %s |", cell(state, verb))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var simVerbs = map[string]func(ctx context.Context, w *fixture.World, iccid, heir string) (api.SIM, error){
	"comes": func(ctx context.Context, w *fixture.World, iccid, _ string) (api.SIM, error) {
		if err := w.Registry.Authenticated(ctx, iccid, "another session"); err != nil {
			return api.SIM{}, err
		}
		return w.Registry.SIM(ctx, iccid)
	},
	"suspend": func(ctx context.Context, w *fixture.World, iccid, _ string) (api.SIM, error) {
		return w.Registry.Suspend(ctx, "test", iccid, api.Change{})
	},
	"resume": func(ctx context.Context, w *fixture.World, iccid, _ string) (api.SIM, error) {
		return w.Registry.Resume(ctx, "test", iccid, api.Change{})
	},
	"move": func(ctx context.Context, w *fixture.World, iccid, _ string) (api.SIM, error) {
		return w.Registry.Move(ctx, "test", iccid, api.Move{Fleet: "again"})
	},
	"replace": func(ctx context.Context, w *fixture.World, iccid, heir string) (api.SIM, error) {
		if _, err := w.Registry.Replace(ctx, "test", iccid, api.Replacement{By: heir}); err != nil {
			return api.SIM{}, err
		}
		return w.Registry.SIM(ctx, iccid)
	},
	"revoke": func(ctx context.Context, w *fixture.World, iccid, _ string) (api.SIM, error) {
		if _, err := w.Life.RevokeSIM(ctx, "test", iccid, api.Change{}); err != nil {
			return api.SIM{}, err
		}
		return w.Registry.SIM(ctx, iccid)
	},
	"terminate": func(ctx context.Context, w *fixture.World, iccid, _ string) (api.SIM, error) {
		return w.Registry.Terminate(ctx, "test", iccid, api.Change{})
	},
}

// simIn makes a SIM in a state.
func simIn(t *testing.T, w *fixture.World, state string) (iccid string) {
	t.Helper()
	ctx := t.Context()
	var err error
	switch iccid = w.SIM(t, "meters"); api.SIMState(state) {
	case api.Seen:
		err = w.Registry.Authenticated(ctx, iccid, fixture.Session)
	case api.Provisioned:
		_, err = w.Provision(ctx, fixture.Session, iccid, 0)
	case api.Suspended:
		_, err = w.Provision(ctx, fixture.Session, iccid, 0)
		_, suspended := w.Registry.Suspend(ctx, "test", iccid, api.Change{})
		err = errors.Join(err, suspended)
	case api.Terminated:
		_, err = w.Registry.Terminate(ctx, "test", iccid, api.Change{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return iccid
}

// credentialIn makes a SIM whose latest credential is in a state, beside no other.
func credentialIn(t *testing.T, w *fixture.World, state string) (iccid string, c api.Credential) {
	t.Helper()
	ctx := t.Context()
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	iccid = w.SIM(t, "again")
	if err := w.Registry.Authenticated(ctx, iccid, fixture.Session); err != nil {
		t.Fatal(err)
	}
	record, err := w.Life.Request(ctx, fixture.Session, iccid, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	way := []string{"keyed", "issue", "deliver", "activate"}
	steps := map[api.CredentialState]int{api.Keyed: 1, api.Issued: 2, api.Delivered: 3, api.Active: 4, api.Superseded: 4, api.Expired: 4, api.Revoked: 4}
	for _, step := range way[:steps[api.CredentialState(state)]] {
		if err := acts[step](ctx, w, iccid, fixture.Session, record.ID, 0, key); err != nil {
			t.Fatal(err)
		}
	}
	switch api.CredentialState(state) {
	case api.Superseded:
		_, err = w.Provision(ctx, fixture.Session, iccid, 1)
	case api.Expired:
		w.Pass(91 * 24 * time.Hour)
		_, err = w.Life.Expire(ctx, w.Now())
	case api.Revoked:
		_, err = w.Life.Revoke(ctx, "test", record.ID, api.Change{})
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err = w.Life.Credential(ctx, record.ID)
	if err != nil || string(c.State) != state {
		t.Fatalf("made a credential that is %s, %v; want %s", c.State, err, state)
	}
	return iccid, c
}

// Every state meets every verb, and the page for operators says what comes of it.
func TestThePageTellsWhatEachVerbDoesInEachState(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	w := fixture.New(t)
	ctx := t.Context()
	sims := rows([]string{"imported", "seen", "provisioned", "suspended", "terminated"},
		[]string{"comes", "suspend", "resume", "move", "replace", "revoke", "terminate"},
		func(state, verb string) string {
			s, err := simVerbs[verb](ctx, w, simIn(t, w, state), w.SIM(t, "meters"))
			return outcome(string(s.State), err)
		})
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	credentials := rows([]string{"requested", "keyed", "issued", "delivered", "active", "superseded", "expired", "revoked"},
		[]string{"keyed", "issue", "deliver", "activate", "abandon", "revoke", "expire"},
		func(state, verb string) string {
			iccid, c := credentialIn(t, w, state)
			if verb == "expire" {
				w.Pass(91 * 24 * time.Hour)
				if _, err := w.Life.Expire(ctx, w.Now()); err != nil {
					t.Fatal(err)
				}
			} else if err := acts[verb](ctx, w, iccid, fixture.Session, c.ID, 0, key); err != nil {
				return outcome("", err)
			}
			c, err := w.Life.Credential(ctx, c.ID)
			return outcome(string(c.State), err)
		})
	for name, table := range map[string]string{"SIMs": sims, "credentials": credentials} {
		if !strings.Contains(string(text), table) {
			t.Errorf("%s does not hold this table of %s:\n%s", page, name, table)
		}
	}
}
