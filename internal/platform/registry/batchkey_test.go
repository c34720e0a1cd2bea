package registry_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
)

func newBatchKey(t *testing.T, w *fixture.World) []byte {
	t.Helper()
	key, err := w.Registry.NewBatchKey(t.Context(), "test", api.BatchKeyRequest{Note: "lot 7", Lifetime: api.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return key.Key
}

// sealedTo is a batch file under a transport key.
func sealedTo(t *testing.T, key []byte, iccids ...string) []byte {
	t.Helper()
	var file bytes.Buffer
	b, err := api.NewBatchWriter(&file, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, iccid := range iccids {
		if err := b.Add(fixture.Plain(iccid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// privateHalf is what is stored of the private half of a transport key.
func privateHalf(t *testing.T, w *fixture.World, key []byte) (secret []byte) {
	t.Helper()
	if err := w.Store.View(t.Context(), func(tx store.Tx) error {
		k, err := tx.TransportKey(hex.EncodeToString(key))
		secret = k.Secret
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestATransportKeyForOneBatchIsErasedByItsImport(t *testing.T) {
	w := fixture.New(t)
	key := newBatchKey(t, w)
	file := sealedTo(t, key, fixture.ICCID(1), fixture.ICCID(2))
	load := func(file []byte, o api.ImportOptions) (api.ImportResult, error) {
		return w.Registry.ImportWith(t.Context(), "test", "meters", bytes.NewReader(file), o)
	}

	if r, err := load(file, api.ImportOptions{DryRun: true}); err != nil || r.Imported != 2 {
		t.Fatal(r, err)
	}
	if _, err := load(file[:len(file)-20], api.ImportOptions{}); err == nil {
		t.Fatal("a file that is cut short is imported")
	}
	if privateHalf(t, w, key) == nil {
		t.Fatal("the key is gone before a batch was imported with it")
	}

	if r, err := load(file, api.ImportOptions{ID: "lot-7"}); err != nil || r.Imported != 2 {
		t.Fatal(r, err)
	}
	if _, _, keys, err := w.Registry.Admit(t.Context(), fixture.ICCID(2)); err != nil || !bytes.Equal(keys.DEK, fixture.Plain(fixture.ICCID(2)).DEK) {
		t.Errorf("the SIM's keys: %v", err)
	}
	if privateHalf(t, w, key) != nil {
		t.Error("the private half is still there")
	}
	if r, err := load(file, api.ImportOptions{ID: "lot-7"}); err != nil || !r.Repeated {
		t.Errorf("the same batch again: %+v, %v", r, err)
	}
	_, err := load(sealedTo(t, key, fixture.ICCID(3)), api.ImportOptions{ID: "lot-8"})
	fixture.Refused(t, err, api.CodeConflict)

	listed, err := w.Registry.BatchKeys(t.Context(), "", 10)
	if err != nil || len(listed.Items) != 1 || !bytes.Equal(listed.Items[0].Key, key) || listed.Items[0].Batch != "lot-7" || listed.Items[0].Used.IsZero() {
		t.Errorf("listed: %+v, %v", listed, err)
	}
}

func TestOfTwoImportsAtOnceUnderOneTransportKeyOneIsRefused(t *testing.T) {
	w := fixture.New(t)
	key := newBatchKey(t, w)
	slow, fast := sealedTo(t, key, fixture.ICCID(1)), sealedTo(t, key, fixture.ICCID(2))
	first := true
	_, err := w.Registry.Import(t.Context(), "test", "meters", &looking{bytes.NewReader(slow), func() error {
		if first { // the slow one has its key in hand by now
			first = false
			if r, err := w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(fast)); err != nil || r.Imported != 1 {
				t.Error(r, err)
			}
		}
		return io.EOF
	}})
	fixture.Refused(t, err, api.CodeConflict)
	if n := count(t, w); n != 1 {
		t.Errorf("%d SIMs are there", n)
	}
}

func TestAWithdrawnTransportKeyIsErasedAndOpensNoBatch(t *testing.T) {
	w := fixture.New(t)
	key, other := newBatchKey(t, w), newBatchKey(t, w)
	for range 2 { // the second time changes nothing
		if err := w.Registry.WithdrawBatchKey(t.Context(), "operator", key); err != nil {
			t.Fatal(err)
		}
		w.Pass(time.Minute)
	}
	if privateHalf(t, w, key) != nil || privateHalf(t, w, other) == nil {
		t.Error("the private half of the key is there still, or that of another is not")
	}
	_, err := w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(sealedTo(t, key, fixture.ICCID(1))))
	if fixture.Refused(t, err, api.CodeConflict); !strings.Contains(err.Error(), "withdrawn") || count(t, w) != 0 {
		t.Error("a batch under a key that was withdrawn:", err)
	}
	noted := 0
	if err := w.Store.View(t.Context(), func(tx store.Tx) error {
		entries, err := tx.Audit(0, 100)
		for _, e := range entries {
			if e.Action == "transport-key.withdrawn" && e.Actor == "operator" && e.Subject == hex.EncodeToString(key) {
				noted++
			}
		}
		return err
	}); err != nil || noted != 1 {
		t.Errorf("%d entries in the audit log, %v", noted, err)
	}
	listed, err := w.Registry.BatchKeys(t.Context(), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range listed.Items {
		if k.Withdrawn.IsZero() == bytes.Equal(k.Key, key) {
			t.Errorf("listed: %+v", k)
		}
	}

	if _, err := w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(sealedTo(t, other, fixture.ICCID(1)))); err != nil {
		t.Fatal(err)
	}
	fixture.Refused(t, w.Registry.WithdrawBatchKey(t.Context(), "operator", other), api.CodeConflict)
	fixture.Refused(t, w.Registry.WithdrawBatchKey(t.Context(), "operator", make([]byte, api.SealKeySize)), api.CodeUnknownTransportKey)
}

func TestAnImportWhoseTransportKeyIsWithdrawnMeanwhileIsRefused(t *testing.T) {
	w := fixture.New(t)
	key := newBatchKey(t, w)
	_, err := w.Registry.Import(t.Context(), "test", "meters", &looking{bytes.NewReader(sealedTo(t, key, fixture.ICCID(1))), func() error {
		if err := w.Registry.WithdrawBatchKey(t.Context(), "operator", key); err != nil { // its import has it in hand by now
			t.Error(err)
		}
		return io.EOF
	}})
	if fixture.Refused(t, err, api.CodeConflict); !strings.Contains(err.Error(), "withdrawn") || count(t, w) != 0 {
		t.Error(err, count(t, w))
	}
}

func TestATransportKeyForOneBatchExpiresAndIsErased(t *testing.T) {
	w := fixture.New(t)
	key := newBatchKey(t, w)
	w.Pass(time.Hour)
	_, err := w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(sealedTo(t, key, fixture.ICCID(1))))
	fixture.Refused(t, err, api.CodeConflict)

	other := newBatchKey(t, w)
	done := make(chan struct{})
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	go func() { defer close(done); w.Registry.Work(ctx, slog.New(slog.DiscardHandler), true) }()
	for privateHalf(t, w, key) != nil {
		if ctx.Err() != nil {
			t.Fatal("the key that has expired is still there")
		}
		runtime.Gosched()
	}
	stop()
	<-done
	if privateHalf(t, w, other) == nil {
		t.Error("a key that has not expired is gone")
	}
}

func TestAPlatformMayRefuseItsStandingTransportKey(t *testing.T) {
	w := fixture.New(t)
	standing := w.Registry.TransportKey()
	w.Registry.BatchKeysOnly()
	if w.Registry.TransportKey() != nil {
		t.Error("the standing key is still given out")
	}
	_, err := w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(sealedTo(t, standing, fixture.ICCID(1))))
	fixture.Refused(t, err, api.CodeConflict)
	if _, err := w.Registry.Import(t.Context(), "test", "meters", bytes.NewReader(sealedTo(t, newBatchKey(t, w), fixture.ICCID(1)))); err != nil {
		t.Error(err)
	}
}
