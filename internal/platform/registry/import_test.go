package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
)

// large is more SIMs than are imported in one transaction.
const large = 1234

func largeBatch(t *testing.T, w *fixture.World, from, count int) []byte {
	t.Helper()
	iccids := make([]string, count)
	for i := range iccids {
		iccids[i] = fixture.ICCID(from + i)
	}
	file, err := w.Batch(iccids...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func count(t *testing.T, w *fixture.World) (n int) {
	t.Helper()
	if err := w.Store.View(t.Context(), func(tx store.Tx) error {
		sims, err := tx.ListSIMs(store.SIMFilter{}, "", 10_000)
		n = len(sims)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// looking does something before the end of a file is read.
type looking struct {
	io.Reader
	atEnd func() error
}

func (l *looking) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n == 0 && err == io.EOF && l.atEnd != nil {
		err = l.atEnd()
	}
	return n, err
}

func TestTheSIMsOfALargeBatchAppearAllAtOnceAndThenOnTheFeed(t *testing.T) {
	w := fixture.New(t)
	file := largeBatch(t, w, 1, large)
	cut := bytes.LastIndexByte(file[:len(file)-1], '\n') + 1 // before the last line
	seen, first := -1, true
	r, err := w.Registry.Import(t.Context(), "test", "meters", io.MultiReader(bytes.NewReader(file[:cut]), &looking{bytes.NewReader(file[cut:]), func() error {
		if first {
			seen, first = count(t, w), false
			if _, err := w.Registry.SIM(t.Context(), fixture.ICCID(1)); err == nil {
				t.Error("a SIM is there before its batch is")
			}
		}
		return io.EOF
	}}))
	if err != nil || r.Imported != large {
		t.Fatal(r, err)
	}
	if seen != 0 || count(t, w) != large {
		t.Errorf("%d SIMs were there before the batch was complete, and %d are after it", seen, count(t, w))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Registry.Work(ctx, slog.New(slog.DiscardHandler), true) }()
	if err := w.Feed.Wait(ctx, large-1); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	events, err := w.Feed.Read(t.Context(), api.FeedPosition{}, 2*large)
	told := map[string]bool{}
	for _, e := range events {
		told[e.SIM.ICCID] = true
	}
	if err != nil || len(events) != large || len(told) != large {
		t.Errorf("%d events tell of %d SIMs, %v", len(events), len(told), err)
	}
}

func TestALargeBatchThatIsCutOffLeavesNothing(t *testing.T) {
	w := fixture.New(t)
	known := w.SIM(t, "meters")
	file := largeBatch(t, w, 10, large)
	broken := errors.New("the connection broke")
	if _, err := w.Registry.Import(t.Context(), "test", "meters", io.MultiReader(bytes.NewReader(file[:len(file)-100]), failing{broken})); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	withKnown, err := w.Batch(append(numbers(10, large), known)...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(withKnown))
	fixture.Refused(t, err, api.CodeAlreadyExists)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d: SIM %s", large+2, known)) {
		t.Errorf("got %v", err)
	}
	// A process that ends in the middle leaves rows, which the next one removes.
	if err := w.Store.Update(t.Context(), func(tx store.Tx) error {
		err := tx.InsertBatch(store.Batch{ID: "dead", Fleet: "meters", State: store.BatchLoading, Updated: w.Now()})
		row := store.SIM{SIM: api.SIM{ICCID: fixture.ICCID(10), Fleet: "meters", State: api.Imported}, Domain: fixture.Domain, Keys: []byte("k"), Batch: "dead"}
		return errors.Join(err, tx.InsertSIM(row))
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan struct{})
	go func() { defer close(cancelled); w.Registry.Work(ctx, slog.New(slog.DiscardHandler), true) }()
	for gone := false; !gone; {
		if err := w.Store.View(t.Context(), func(tx store.Tx) error {
			_, err := tx.Batch("dead")
			gone = errors.Is(err, store.ErrNotFound)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	<-cancelled
	if n := count(t, w); n != 1 {
		t.Errorf("%d SIMs are there, want the one from before", n)
	}
	if r, err := w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(file)); err != nil || r.Imported != large {
		t.Errorf("a new attempt: %+v, %v", r, err)
	}
}

func numbers(from, count int) (iccids []string) {
	for n := range count {
		iccids = append(iccids, fixture.ICCID(from+n))
	}
	return iccids
}

func TestLinesThatAreWrongAreLeftOutIfAskedAndNamed(t *testing.T) {
	w := fixture.New(t)
	known := w.SIM(t, "meters")
	file, err := w.Batch(fixture.ICCID(50), known, fixture.ICCID(51), fixture.ICCID(52))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(file, []byte("\n")) // header, 4 SIMs, trailer
	lines[3] = []byte("no JSON\n")
	twice := bytes.Join([][]byte{lines[0], lines[1], lines[2], lines[3], lines[4], lines[1], []byte("{\"end\":5}\n")}, nil)
	want := []string{"3 SIM " + known + " was imported before", "4 ", "6 SIM " + fixture.ICCID(50) + " stands twice"}
	check := func(r api.ImportResult) {
		t.Helper()
		if r.Imported != 2 || r.Rejected != 3 || len(r.Errors) != 3 {
			t.Fatalf("got %+v", r)
		}
		for i, e := range r.Errors {
			if got := fmt.Sprintf("%d %s", e.Line, e.Problem); !strings.HasPrefix(got, want[i]) {
				t.Errorf("got %q, want %q", got, want[i])
			}
		}
	}
	head := w.Feed.Head()
	r, err := w.Registry.ImportWith(t.Context(), "test", "meters", bytes.NewReader(twice), api.ImportOptions{DryRun: true})
	if err != nil || !r.DryRun {
		t.Fatal(r, err)
	}
	check(r)
	if count(t, w) != 1 || w.Feed.Head() != head {
		t.Error("a dry run has changed something")
	}
	o := api.ImportOptions{KeepGood: true, ID: "monday"}
	if r, err = w.Registry.ImportWith(t.Context(), "test", "meters", bytes.NewReader(twice), o); err != nil {
		t.Fatal(err)
	}
	check(r)
	if n := count(t, w); n != 3 {
		t.Errorf("%d SIMs are there, want 3", n)
	}
	again, err := w.Registry.ImportWith(t.Context(), "test", "meters", bytes.NewReader(twice), o)
	if err != nil || !again.Repeated || again.Imported != 2 || count(t, w) != 3 {
		t.Errorf("a repetition: %+v, %v", again, err)
	}
	_, err = w.Registry.ImportWith(t.Context(), "test", "again", bytes.NewReader(twice), o)
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.Registry.ImportWith(t.Context(), "test", "meters", bytes.NewReader(twice), api.ImportOptions{ID: "no good name"})
	fixture.Refused(t, err, api.CodeBadRequest)
}

func TestADryRunSaysWhatTheImportWillDo(t *testing.T) {
	w := fixture.New(t)
	known := w.SIM(t, "meters")
	const count = 1600
	file, err := w.Batch(append(numbers(50, count), known)...)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(file, []byte("\n")) // header, SIMs, trailer
	again := slices.Clone(lines[1 : count+2])
	slices.Reverse(again)
	all := slices.Concat(lines[:count+2], [][]byte{[]byte("no JSON\n")}, again, [][]byte{fmt.Appendf(nil, "{\"end\":%d}\n", 2*count+3)})
	file = bytes.Join(all, nil)
	dry, err := w.Registry.ImportWith(t.Context(), "test", "meters", bytes.NewReader(file), api.ImportOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if dry.Imported != count || dry.Rejected != count+3 || len(dry.Errors) != api.MaxImportErrors {
		t.Errorf("%d are good, %d are not, %d are told", dry.Imported, dry.Rejected, len(dry.Errors))
	}
	real, err := w.Registry.ImportWith(t.Context(), "test", "meters", bytes.NewReader(file), api.ImportOptions{KeepGood: true})
	if err != nil {
		t.Fatal(err)
	}
	dry.DryRun = false
	if !reflect.DeepEqual(dry, real) {
		t.Errorf("the import has done %+v", real)
	}
}
