package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

func casStandInLine(t *testing.T, s store.Store) {
	step := func(tx store.Tx, want int64) error {
		got, err := tx.CAStep()
		same(t, "step", got, want)
		return err
	}
	first := store.CA{Number: 1, Name: "one", State: store.CAIssuing, Root: []byte("root 1"), Issuer: []byte("issuer 1"), RootCRL: []byte("list 1"), Since: day}
	second := store.CA{Number: 2, Name: "two", State: store.CANext, Root: []byte("root 2"), Issuer: []byte("issuer 2"), Cross: []byte("cross 2"), Since: day.Add(time.Hour)}
	update(t, s, func(tx store.Tx) error {
		return errors.Join(step(tx, 0), tx.PutCA(first), step(tx, 1), tx.PutCA(second), step(tx, 2))
	})
	view(t, s, func(tx store.Tx) error {
		all, err := tx.CAs()
		same(t, "the line", all, []store.CA{first, second})
		return errors.Join(err, step(tx, 2))
	})
	first.State, first.Since, first.Until = store.CABefore, day.Add(2*time.Hour), day.Add(3*time.Hour)
	second.State, second.Since, second.Cross, second.RootCRL = store.CAIssuing, day.Add(2*time.Hour), nil, []byte("list 2")
	failed := errors.New("on purpose")
	if err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(tx.PutCA(first), tx.PutCA(second), failed) }); !errors.Is(err, failed) {
		t.Error(err)
	}
	update(t, s, func(tx store.Tx) error {
		return errors.Join(step(tx, 2), tx.PutCA(first), tx.PutCA(second), step(tx, 4))
	})
	view(t, s, func(tx store.Tx) error {
		all, err := tx.CAs()
		same(t, "the line", all, []store.CA{first, second})
		return errors.Join(err, step(tx, 4))
	})
	third := second
	third.Number = 3
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutCA(third) }); err == nil {
		t.Error("two CAs issue")
	}
	view(t, s, func(tx store.Tx) error { return step(tx, 4) })
}

func lastEndOfAll(t *testing.T, s store.Store) {
	last := func(want time.Time) {
		t.Helper()
		view(t, s, func(tx store.Tx) error {
			got, err := tx.LastEnd()
			same(t, "the last end", got, want)
			return err
		})
	}
	last(time.Time{})
	server := store.ServerCertificate{ID: "1", IssuedServerCertificate: api.IssuedServerCertificate{Serial: "0a", Names: []string{"localhost"}, Certificate: []byte("der"), NotAfter: day.Add(time.Hour)}}
	update(t, s, func(tx store.Tx) error { return tx.InsertServerCertificate(server) })
	last(day.Add(time.Hour))
	app := store.AppServer{AppServer: api.AppServer{ID: "s1", Name: "broker", NotAfter: day.Add(2 * time.Hour)}, Invitation: [32]byte{1}}
	update(t, s, func(tx store.Tx) error { return tx.InsertAppServer(app) })
	last(day.Add(2 * time.Hour))
	app.Withdrawn = day
	update(t, s, func(tx store.Tx) error { return tx.UpdateAppServer(app) })
	last(day.Add(time.Hour))
	update(t, s, func(tx store.Tx) error { return tx.RevokeServerCertificate("0a", day, api.ReasonSuperseded) })
	last(time.Time{})
}
