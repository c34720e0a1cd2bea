package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

func transportKeysAreUsedOnce(t *testing.T, s store.Store) {
	key := func(id string, expires time.Duration) store.TransportKey {
		return store.TransportKey{ID: id, Note: "lot " + id, Secret: []byte("\x0212345678" + id), Created: day, Expires: day.Add(expires)}
	}
	a, b, c, d := key("aa", time.Hour), key("bb", time.Minute), key("cc", time.Hour), key("dd", time.Hour)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.InsertTransportKey(c), tx.InsertTransportKey(a), tx.InsertTransportKey(b), tx.InsertTransportKey(d))
	})
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertTransportKey(a) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("a key that is there already: %v", err)
	}
	view(t, s, func(tx store.Tx) error {
		sealed, err1 := tx.EnvelopesNotUnder(store.TransportEnvelope, [8]byte{}, "aa", 10)
		counts, err2 := tx.CountEnvelopes()
		same(t, "envelopes", sealed, []store.Envelope{{Kind: store.TransportEnvelope, Key: "bb", Sealed: b.Secret}, {Kind: store.TransportEnvelope, Key: "cc", Sealed: c.Secret},
			{Kind: store.TransportEnvelope, Key: "dd", Sealed: d.Secret}})
		same(t, "counts", counts, map[[8]byte]int{[8]byte([]byte("12345678")): 4})
		return errors.Join(err1, err2)
	})
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.UseTransportKey("aa", "batch", day.Add(time.Second)), tx.ForgetTransportKeys(day.Add(time.Minute)),
			tx.WithdrawTransportKey("dd", day.Add(2*time.Second)))
	})
	a.Used, a.Batch, a.Secret, b.Secret = day.Add(time.Second), "batch", nil, nil
	d.Withdrawn, d.Secret = day.Add(2*time.Second), nil
	for _, id := range []string{"aa", "dd", "none"} {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.UseTransportKey(id, "other", day) }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("key %s is used, and was used or withdrawn before, or is not there: %v", id, err)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.WithdrawTransportKey(id, day) }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("key %s is withdrawn, and was used or withdrawn before, or is not there: %v", id, err)
		}
	}
	view(t, s, func(tx store.Tx) error {
		all, err1 := tx.ListTransportKeys("", 2)
		rest, err2 := tx.ListTransportKeys("bb", 2)
		one, err3 := tx.TransportKey("aa")
		same(t, "first page", all, []store.TransportKey{a, b})
		same(t, "second page", rest, []store.TransportKey{c, d})
		same(t, "a key", one, a)
		if _, err := tx.TransportKey("none"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a key that is not there: %v", err)
		}
		return errors.Join(err1, err2, err3)
	})
}
