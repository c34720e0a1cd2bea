package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

func appServersComeBack(t *testing.T, s store.Store) {
	row := store.AppServer{
		AppServer:  api.AppServer{ID: "s1", Name: "broker", Fleets: []string{"meters", "tags"}, Created: day, InvitedUntil: day.Add(time.Hour)},
		Invitation: [32]byte{1, 2, 3},
	}
	withdrawn := store.AppServer{AppServer: api.AppServer{ID: "s2", Name: "old", Created: day}, Withdrawn: day, Invitation: [32]byte{4}}
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.InsertAppServer(row), tx.InsertAppServer(withdrawn)) })
	view(t, s, func(tx store.Tx) error {
		got, err := tx.AppServerByInvitation(row.Invitation)
		same(t, "invited", got, row)
		return err
	})
	row.PublicKey, row.SealingKey, row.Registered, row.NotAfter = []byte("key"), []byte("seal"), day.Add(time.Minute), day.Add(time.Hour)
	update(t, s, func(tx store.Tx) error { return tx.UpdateAppServer(row) })
	view(t, s, func(tx store.Tx) error {
		got, err1 := tx.AppServer("s1")
		all, err2 := tx.ListAppServers("", 10)
		rest, err3 := tx.ListAppServers("s1", 10)
		same(t, "registered", got, row)
		same(t, "the list", all, []store.AppServer{row})
		same(t, "the list behind", len(rest), 0)
		return errors.Join(err1, err2, err3)
	})
	for what, get := range map[string]func(store.Tx) error{
		"server":     func(tx store.Tx) error { _, err := tx.AppServer("none"); return err },
		"invitation": func(tx store.Tx) error { _, err := tx.AppServerByInvitation([32]byte{9}); return err },
		"update":     func(tx store.Tx) error { return tx.UpdateAppServer(store.AppServer{}) },
	} {
		if err := s.Update(t.Context(), get); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a %s that is not there: %v", what, err)
		}
	}
	again := row
	again.ID = "s3"
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertAppServer(again) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("two servers with one invitation: %v", err)
	}
}

func appServerCertificates(t *testing.T, s store.Store) {
	of := func(serial, id string, end time.Duration) store.AppServerCertificate {
		return store.AppServerCertificate{Serial: serial, AppServer: id, NotAfter: day.Add(end)}
	}
	first, second := of("0b", "s1", time.Hour), of("0a", "s1", 2*time.Hour)
	update(t, s, func(tx store.Tx) error {
		var err error
		for n, id := range []string{"s1", "s2"} {
			err = errors.Join(err, tx.InsertAppServer(store.AppServer{AppServer: api.AppServer{ID: id, Name: "broker", Created: day}, Invitation: [32]byte{byte(n)}}))
		}
		for _, c := range []store.AppServerCertificate{second, first, of("0c", "s2", time.Hour), of("0d", "s1", 0)} {
			err = errors.Join(err, tx.InsertAppServerCertificate(c))
		}
		return err
	})
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertAppServerCertificate(first) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("a certificate that is there already: %v", err)
	}
	view(t, s, func(tx store.Tx) error {
		all, err1 := tx.AppServerCertificates("s1", day)
		rest, err2 := tx.AppServerCertificates("s1", first.NotAfter)
		same(t, "those that have not ended", all, []store.AppServerCertificate{first, second})
		same(t, "the last", rest, []store.AppServerCertificate{second})
		return errors.Join(err1, err2)
	})
}

func answersExpire(t *testing.T, s store.Store) {
	first := store.Answer{Principal: "p", Key: "k", Request: [32]byte{1}, Answer: []byte("sealed"), Expires: day.Add(time.Hour)}
	other := store.Answer{Principal: "q", Key: "k", Request: [32]byte{2}, Answer: []byte("sealed"), Expires: day.Add(2 * time.Hour)}
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.InsertAnswer(first), tx.InsertAnswer(other)) })
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertAnswer(first) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("two answers to one key: %v", err)
	}
	update(t, s, func(tx store.Tx) error {
		got, err1 := tx.Answer("p", "k")
		same(t, "answer", got, first)
		n, err2 := tx.ForgetAnswers(first.Expires.Add(-time.Microsecond), 10)
		same(t, "forgotten before the end", n, int64(0))
		m, err3 := tx.ForgetAnswers(first.Expires, 10)
		same(t, "forgotten at the end", m, int64(1))
		return errors.Join(err1, err2, err3)
	})
	view(t, s, func(tx store.Tx) error {
		if _, err := tx.Answer("p", "k"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an answer that has expired: %v", err)
		}
		got, err := tx.Answer("q", "k")
		same(t, "the other answer", got, other)
		return err
	})
}

func answersMove(t *testing.T, s store.Store) {
	a, b := [8]byte{1, 0xFF}, [8]byte{2}
	under := func(kek [8]byte, rest string) []byte { return append(append([]byte{2}, kek[:]...), rest...) }
	update(t, s, func(tx store.Tx) error {
		var err error
		for i, name := range []string{"p a", "p b", "q a"} {
			err = errors.Join(err, tx.InsertAnswer(store.Answer{
				Principal: name[:1], Key: name[2:], Request: [32]byte{byte(i)}, Answer: under(a, name), Expires: day.Add(time.Hour),
			}))
		}
		return err
	})
	envelope := func(name string) store.Envelope {
		return store.Envelope{Kind: store.AnswerEnvelope, Key: name, Sealed: under(a, name)}
	}
	update(t, s, func(tx store.Tx) error { return tx.ReplaceEnvelope(envelope("p b"), under(b, "p b")) })
	for _, gone := range []string{"p b", "p", "x a"} {
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.ReplaceEnvelope(envelope(gone), under(b, "late")) })
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s, which has changed or is not there, is replaced: %v", gone, err)
		}
	}
	view(t, s, func(tx store.Tx) error {
		all, err1 := tx.EnvelopesNotUnder(store.AnswerEnvelope, b, "", 10)
		first, err2 := tx.EnvelopesNotUnder(store.AnswerEnvelope, b, "", 1)
		rest, err3 := tx.EnvelopesNotUnder(store.AnswerEnvelope, b, "p a", 10)
		counts, err4 := tx.CountEnvelopes()
		moved, err5 := tx.Answer("p", "b")
		same(t, "those under another", all, []store.Envelope{envelope("p a"), envelope("q a")})
		same(t, "the first page", first, []store.Envelope{envelope("p a")})
		same(t, "the second page", rest, []store.Envelope{envelope("q a")})
		same(t, "counts", counts, map[[8]byte]int{a: 2, b: 1})
		same(t, "the one that was moved", moved.Answer, under(b, "p b"))
		return errors.Join(err1, err2, err3, err4, err5)
	})
}
