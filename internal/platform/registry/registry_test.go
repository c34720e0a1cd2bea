package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/registry"
)

func TestAFleetIsCreatedOnceWithItsDefaultsFilled(t *testing.T) {
	w := fixture.New(t)
	f, err := w.Registry.CreateFleet(t.Context(), "test", api.Fleet{Name: "pumps"})
	if err != nil || f.Profile != (api.Profile{}.ForNewFleet()) || f.Profile.CheckIn != api.DefaultCheckIn {
		t.Fatal(f, err)
	}
	if again, err := w.Registry.Fleet(t.Context(), "pumps"); err != nil || !reflect.DeepEqual(again, f) {
		t.Errorf("got %+v, %v; want %+v", again, err, f)
	}
	for name, p := range map[string]api.Profile{
		"a year":     {Renewal: api.Renew},
		"a lifetime": {Renewal: api.Renew, Lifetime: 2 * api.DefaultKeyAge},
		"a month":    {Renewal: api.Renew, Lifetime: api.Duration(24 * time.Hour), KeyAge: api.Duration(30 * 24 * time.Hour)},
	} {
		want := map[string]api.Duration{"a year": api.DefaultKeyAge, "a lifetime": p.Lifetime, "a month": p.KeyAge}[name]
		f, err := w.Registry.CreateFleet(t.Context(), "test", api.Fleet{Name: strings.ReplaceAll(name, " ", "-"), Profile: p})
		if err != nil || f.Profile.KeyAge != want {
			t.Errorf("%s: keys live for %s, %v", name, f.Profile.KeyAge, err)
		}
		f.Profile.KeyAge, f.Profile.CheckIn = 0, 0 // which is not a creation: the operator's word
		if f, err = w.Registry.UpdateFleet(t.Context(), "test", f.Name, f); err != nil || f.Profile.KeyAge != 0 || f.Profile.CheckIn != 0 {
			t.Errorf("%s: with neither bound keys live for %s, and devices come every %s, %v", name, f.Profile.KeyAge, f.Profile.CheckIn, err)
		}
	}
	_, err = w.Registry.CreateFleet(t.Context(), "test", api.Fleet{Name: "pumps"})
	fixture.Refused(t, err, api.CodeAlreadyExists)
	for _, bad := range []api.Fleet{
		{Name: ""}, {Name: "Pumps"}, {Name: strings.Repeat("x", 65)},
		{Name: "a", Profile: api.Profile{Type: "quantum"}},
		{Name: "a", Profile: api.Profile{Lifetime: api.Duration(time.Hour), RenewBefore: api.Duration(time.Hour)}},
	} {
		_, err := w.Registry.CreateFleet(t.Context(), "test", bad)
		fixture.Refused(t, err, api.CodeBadRequest)
	}
	_, err = w.Registry.Fleet(t.Context(), "none")
	fixture.Refused(t, err, api.CodeUnknownFleet)
}

func TestAnImportedSIMIsAdmittedWithItsKeys(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	sim, fleet, keys, err := w.Registry.Admit(t.Context(), iccid)
	if err != nil || sim.State != api.Imported || fleet.Name != "meters" {
		t.Fatal(sim, fleet, err)
	}
	want := fixture.Plain(iccid)
	if keys.KeyVersion != want.KeyVersion || !bytes.Equal(keys.Domain, want.Domain) ||
		!bytes.Equal(keys.ENC, want.ENC) || !bytes.Equal(keys.MAC, want.MAC) || !bytes.Equal(keys.DEK, want.DEK) {
		t.Error("the keys are not those of the batch")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, keys); strings.Contains(text, "1, 1, 1") || strings.Contains(text, "1 1 1") || strings.Contains(text, "0x1, 0x1") {
			t.Errorf("%s prints keys: %s", verb, text)
		}
	}
	_, _, _, err = w.Registry.Admit(t.Context(), fixture.ICCID(999))
	fixture.Refused(t, err, api.CodeUnknownSIM)
}

func TestABatchIsImportedAsAWholeOrNotAtAll(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	known := w.SIM(t, "meters")
	fresh := fixture.ICCID(500)
	twice, err := w.Batch(fresh, known)
	if err != nil {
		t.Fatal(err)
	}
	good, err := w.Batch(fresh)
	if err != nil {
		t.Fatal(err)
	}
	_, foreignKey, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	var foreign, altered bytes.Buffer
	b, err := api.NewBatchWriter(&foreign, foreignKey)
	if err := errors.Join(err, b.Add(fixture.Plain(fresh)), b.Close()); err != nil {
		t.Fatal(err)
	}
	b, err = api.NewBatchWriter(&altered, w.Registry.TransportKey())
	if err != nil {
		t.Fatal(err)
	}
	moved, err := fixture.Plain(fixture.ICCID(501)).Seal(w.Registry.TransportKey())
	moved.ICCID = fresh // the keys of one SIM under the number of another
	if err := errors.Join(err, b.AddSealed(moved), b.Close()); err != nil {
		t.Fatal(err)
	}

	head := w.Feed.Head()
	for name, c := range map[string]struct {
		fleet string
		file  []byte
		code  api.Code
		says  string
	}{
		"a SIM that is known":       {"meters", twice, api.CodeAlreadyExists, "line 3: SIM " + known},
		"cut short":                 {"meters", good[:len(good)-len("{\"end\":1}\n")], api.CodeBadRequest, "line 3"},
		"another platform's":        {"meters", foreign.Bytes(), api.CodeBadRequest, "line 1"},
		"keys moved to another SIM": {"meters", altered.Bytes(), api.CodeBadRequest, "line 2"},
		"no batch":                  {"meters", []byte("hello"), api.CodeBadRequest, "line 1"},
		"an unknown fleet":          {"none", good, api.CodeUnknownFleet, "none"},
	} {
		_, err := w.Registry.Import(ctx, "test", c.fleet, bytes.NewReader(c.file))
		fixture.Refused(t, err, c.code)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
	broken := errors.New("the connection broke")
	if _, err := w.Registry.Import(ctx, "test", "meters", io.MultiReader(bytes.NewReader(good[:20]), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("got %v, want what the reader said", err)
	}
	_, err = w.Registry.SIM(ctx, fresh)
	fixture.Refused(t, err, api.CodeUnknownSIM)
	if w.Feed.Head() != head {
		t.Error("a refused batch is on the feed")
	}
	if r, err := w.Registry.Import(ctx, "test", "meters", bytes.NewReader(good)); err != nil || r.Imported != 1 {
		t.Error(r, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestASIMGoesThroughItsLife(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid := w.SIM(t, "meters")
	_, err := w.Registry.Suspend(ctx, "test", iccid, api.Change{})
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.Registry.Resume(ctx, "test", iccid, api.Change{})
	fixture.Refused(t, err, api.CodeConflict)
	c, err := w.Provision(ctx, fixture.Session, iccid, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what  string
		call  func() (api.SIM, error)
		state api.SIMState
		admit api.Code
	}{
		{"suspend", func() (api.SIM, error) { return w.Registry.Suspend(ctx, "test", iccid, api.Change{}) }, api.Suspended, api.CodeSIMSuspended},
		{"resume", func() (api.SIM, error) { return w.Registry.Resume(ctx, "test", iccid, api.Change{}) }, api.Provisioned, ""},
		{"terminate", func() (api.SIM, error) { return w.Registry.Terminate(ctx, "test", iccid, api.Change{}) }, api.Terminated, api.CodeSIMTerminated},
	} {
		sim, err := step.call()
		if err != nil || sim.State != step.state {
			t.Fatalf("%s: %s, %v", step.what, sim.State, err)
		}
		head := w.Feed.Head()
		if step.what != "resume" { // of which the state found is no proof
			if again, err := step.call(); err != nil || !reflect.DeepEqual(again, sim) || w.Feed.Head() != head {
				t.Errorf("%s again: %+v, %v", step.what, again, err)
			}
		}
		_, _, _, err = w.Registry.Admit(ctx, iccid)
		if step.admit != "" {
			fixture.Refused(t, err, step.admit)
			fixture.Refused(t, w.Registry.Authenticated(ctx, iccid, "s"), step.admit)
		} else if err != nil {
			t.Error(err)
		}
	}
	if after, err := w.Life.Credential(ctx, c.ID); err != nil || after.State != api.Revoked || after.Reason != api.ReasonCessationOfOperation {
		t.Errorf("the credential of a terminated SIM is %s (%s), %v", after.State, after.Reason, err)
	}
	_, err = w.Registry.Resume(ctx, "test", iccid, api.Change{})
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.Registry.Terminate(ctx, "test", iccid, api.Change{Reason: "boredom"})
	fixture.Refused(t, err, api.CodeBadRequest)
}

func TestLastSeenFollowsEveryProof(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	for range 2 {
		w.Pass(time.Hour)
		if err := w.Registry.Authenticated(t.Context(), iccid, fixture.Session); err != nil {
			t.Fatal(err)
		}
		if sim, err := w.Registry.SIM(t.Context(), iccid); err != nil || sim.State != api.Seen || !sim.LastSeen.Equal(w.Now()) {
			t.Errorf("%+v, %v", sim, err)
		}
	}
	fixture.Refused(t, w.Registry.Authenticated(t.Context(), iccid, ""), api.CodeBadRequest)
	fixture.Refused(t, w.Registry.Authenticated(t.Context(), fixture.ICCID(999), "s"), api.CodeUnknownSIM)
}

func TestSIMsAreListedByPages(t *testing.T) {
	w := fixture.New(t)
	want, err := w.Import(t.Context(), "meters", 5)
	if err != nil {
		t.Fatal(err)
	}
	w.SIM(t, "again")
	var got []string
	for after := ""; ; {
		p, err := w.Registry.SIMs(t.Context(), registry.Filter{Fleet: "meters"}, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Items {
			got = append(got, s.ICCID)
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func BenchmarkImport(b *testing.B) {
	w := fixture.New(b)
	const size = 1000
	files := make([][]byte, 0, b.N)
	for i := range b.N {
		var iccids []string
		for n := range size {
			iccids = append(iccids, fixture.ICCID(i*size+n))
		}
		file, err := w.Batch(iccids...)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, file)
	}
	b.ResetTimer()
	for _, file := range files {
		if _, err := w.Registry.Import(b.Context(), "test", "meters", bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "SIMs/s")
}
