package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

func revisions(t *testing.T, s store.Store) {
	var first int64
	view(t, s, func(tx store.Tx) error {
		r, err := tx.Revision()
		first = r.Number
		return err
	})
	update(t, s, func(tx store.Tx) error {
		n, err := tx.NewRevision(day)
		again, err2 := tx.NewRevision(day)
		same(t, "the next number", n, first+1)
		same(t, "the number of what changes at the same time", again, n)
		return errors.Join(err, err2, tx.Refresh(day.Add(time.Hour), 1))
	})
	lost := func(tx store.Tx) error { _, err := tx.NewRevision(day); return err }
	if err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(lost(tx), errOnPurpose) }); !errors.Is(err, errOnPurpose) {
		t.Fatal(err)
	}
	update(t, s, func(tx store.Tx) error {
		n, err := tx.NewRevision(day)
		later, err2 := tx.NewRevision(day.Add(time.Minute))
		err3 := tx.Refresh(day.Add(time.Hour), 1)
		after, err4 := tx.NewRevision(day.Add(time.Minute))
		same(t, "the number after one that was given up", n, first+3)
		same(t, "the number of what changes later", later, first+4)
		same(t, "the number after a refreshment", after, first+6)
		return errors.Join(err, err2, err3, err4)
	})
	update(t, s, func(tx store.Tx) error { _, err := tx.NewRevision(day.Add(2 * time.Hour)); return err })
	view(t, s, func(tx store.Tx) error {
		now, err1 := tx.Revision()
		refreshed, err2 := tx.Refreshed()
		same(t, "revision", now, store.Revision{Number: first + 7, Time: day.Add(2 * time.Hour)})
		same(t, "refreshed", refreshed, store.Revision{Number: first + 5, Time: day.Add(time.Hour)})
		return errors.Join(err1, err2)
	})
}

func revokedCertificates(t *testing.T, s store.Store) {
	row := func(serial string, shard, code int, revision int64) store.RevokedCertificate {
		return store.RevokedCertificate{Serial: serial, Shard: shard, Code: code, Revision: revision,
			Since: day.Add(time.Duration(revision) * time.Hour), NotAfter: day.Add(1000 * time.Hour)}
	}
	expired := row("0a", 10, 1, 1)
	expired.NotAfter = day
	held, removed, revoked := row("0b", 11, store.CertificateHold, 2), row("0c", 11, store.RemoveFromCRL, 4), row("0d", 13, 1, 5)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutRevoked(expired), tx.PutRevoked(held), tx.PutRevoked(row("0c", 11, store.CertificateHold, 3)),
			tx.PutRevoked(removed), tx.PutRevoked(revoked))
	})
	view(t, s, func(tx store.Tx) error {
		one, err1 := tx.RevokedCertificate("0c")
		gone, err2 := tx.RevokedInShard(10, day)
		shard, err3 := tx.RevokedInShard(11, day)
		after, err4 := tx.RevokedAfter(2, day)
		last, err5 := tx.LastRevisionInShard(11)
		never, err6 := tx.LastRevisionInShard(12)
		before, err7 := tx.RevisionBefore(day.Add(3 * time.Hour))
		none, err8 := tx.RevisionBefore(day)
		same(t, "by serial", one, removed)
		same(t, "what has expired", len(gone), 0)
		same(t, "in the shard", shard, []store.RevokedCertificate{held})
		same(t, "after a revision", after, []store.RevokedCertificate{removed, revoked})
		same(t, "the shard's revision", last, store.Revision{Number: 4, Time: removed.Since})
		same(t, "the revision of an empty shard", never, store.Revision{})
		same(t, "the revision before", before, int64(2))
		same(t, "the revision before all", none, int64(0))
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8)
	})
	view(t, s, func(tx store.Tx) error {
		before, err := tx.RevisionBefore(day.Add(100 * time.Hour))
		revision, err2 := tx.Revision()
		same(t, "the revision before what is to come", before, min(revision.Number, 5))
		return errors.Join(err, err2)
	})
}

func serverCertificates(t *testing.T, s store.Store) {
	row := func(serial, id string) store.ServerCertificate {
		return store.ServerCertificate{ID: id, IssuedServerCertificate: api.IssuedServerCertificate{
			Serial: serial, Names: []string{"localhost", "127.0.0.1"}, Certificate: []byte("der"),
			NotBefore: day, NotAfter: day.Add(time.Hour), Created: day,
		}}
	}
	second, first := row("0a", "2"), row("0b", "1")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.InsertServerCertificate(first), tx.InsertServerCertificate(second), tx.RevokeServerCertificate("0a", day, api.ReasonSuperseded))
	})
	second.Revoked, second.Reason = day, api.ReasonSuperseded
	view(t, s, func(tx store.Tx) error {
		all, err1 := tx.ListServerCertificates("", 10)
		rest, err2 := tx.ListServerCertificates("1", 10)
		one, err3 := tx.ServerCertificate("0a")
		same(t, "all", all, []store.ServerCertificate{first, second})
		same(t, "the second page", rest, []store.ServerCertificate{second})
		same(t, "one", one, second)
		return errors.Join(err1, err2, err3)
	})
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertServerCertificate(first) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("a certificate that is there already: %v", err)
	}
}

func knownCertificates(t *testing.T, s store.Store) {
	fill(t, s)
	update(t, s, func(tx store.Tx) error {
		c := credentialRow("c", 0, api.Active)
		c.Serial = "0c"
		return errors.Join(tx.InsertCredential(c), tx.InsertServerCertificate(store.ServerCertificate{ID: "1",
			IssuedServerCertificate: api.IssuedServerCertificate{Serial: "0d", Certificate: []byte("der"), Created: day}}),
			tx.InsertAppServer(store.AppServer{AppServer: api.AppServer{ID: "s1", Name: "broker", Created: day}}),
			tx.InsertAppServerCertificate(store.AppServerCertificate{Serial: "0f", AppServer: "s1", NotAfter: day}))
	})
	for serial, want := range map[string]bool{"0c": true, "0d": true, "0e": false, "0f": true} {
		view(t, s, func(tx store.Tx) error {
			known, err := tx.CertificateKnown(serial)
			same(t, serial+" is known", known, want)
			return err
		})
	}
}

func auditChain(t *testing.T, s store.Store) {
	entry := func(subject string) func(store.Tx) error {
		return func(tx store.Tx) error {
			_, err := tx.AppendAudit(api.AuditEntry{Time: day, Actor: "me", Action: "test", Subject: subject})
			return err
		}
	}
	// One that fails in between leaves no trace in the chain.
	results := together(t, s, entry("a"), func(tx store.Tx) error { return errors.Join(entry("b")(tx), errOnPurpose) }, entry("c"))
	same(t, "failures", []bool{results[0] == nil, errors.Is(results[1], errOnPurpose), results[2] == nil}, []bool{true, true, true})
	update(t, s, entry("d"))
	view(t, s, func(tx store.Tx) error {
		entries, err := tx.Audit(0, 10)
		same(t, "entries", len(entries), 3)
		var head api.AuditHead
		for _, e := range entries {
			err = errors.Join(err, head.Follow(e))
		}
		return err
	})
}
