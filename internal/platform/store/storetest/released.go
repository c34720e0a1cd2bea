package storetest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// Released holds a store to the rows that stand in the dumps of released schemas
// (testdata/released of each store), after it has brought such a database up to date: every row is
// there as it was, and there can be more of them. A release adds a dump with these
// rows, made by the database's own means; none is ever changed. Open opens the store over a database
// made by the statements of a dump.
func Released(t *testing.T, open func(t *testing.T, dump string) store.Store) {
	dumps, err := filepath.Glob("testdata/released/*.sql")
	if err != nil || len(dumps) == 0 {
		t.Fatal(dumps, err)
	}
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			statements, err := os.ReadFile(dump)
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, string(statements))
			defer s.Close()
			released(t, s)
		})
	}
}

func released(t *testing.T, s store.Store) {
	t.Helper()
	meters := api.Fleet{Name: "meters", Profile: api.Profile{Organization: "Example Meters"}.WithDefaults(), Created: day}
	locks := api.Fleet{Name: "locks", Profile: api.Profile{Type: api.PSKType}.WithDefaults(), Created: day}
	for _, f := range []*api.Fleet{&meters, &locks} {
		f.Version = 1 // fleets have versions since
	}
	domain := []byte{0xA0, 0, 0, 1, 0x51, 0, 0, 0}
	meter := store.SIM{
		SIM: api.SIM{
			ICCID: "89882110000000000001", Fleet: "meters", State: api.Provisioned,
			Created: day, Updated: day.Add(time.Minute), LastSeen: day.Add(time.Minute),
		},
		KeyVersion: 0x30, Domain: domain, Keys: []byte("sealed keys 1"), Session: "session",
	}
	lock := store.SIM{
		SIM:        api.SIM{ICCID: "89882110000000000002", Fleet: "locks", State: api.Suspended, Created: day, Updated: day.Add(time.Hour)},
		KeyVersion: 0x31, Domain: domain, Keys: []byte("sealed keys 2"),
	}
	revoked := store.Credential{
		Credential: api.Credential{
			ID: "0001", ICCID: meter.ICCID, Fleet: "meters", Type: api.CertificateType, State: api.Revoked,
			Certificate: []byte("der 1"), Fingerprint: []byte("fingerprint 1"), Serial: "0a01",
			NotBefore: day, NotAfter: day.AddDate(0, 3, 0), Reason: api.ReasonKeyCompromise, Created: day, Updated: day.Add(time.Second),
		},
		PublicKey: []byte("key 1"), RevokedFrom: api.Active,
	}
	active := store.Credential{
		Credential: api.Credential{
			ID: "0002", ICCID: meter.ICCID, Fleet: "meters", Type: api.CertificateType, State: api.Active, Slot: 1,
			Certificate: []byte("der 2"), Fingerprint: []byte("fingerprint 2"), Serial: "0a02",
			NotBefore: day, NotAfter: day.AddDate(0, 3, 0), Created: day, Updated: day.Add(time.Second),
		},
		PublicKey: []byte("key 2"),
	}
	psk := store.Credential{
		Credential: api.Credential{
			ID: "0003", ICCID: lock.ICCID, Fleet: "locks", Type: api.PSKType, State: api.Active, Identity: "identity 3",
			Confirmation: &api.Confirmation{Challenge: []byte("challenge"), Proof: []byte("proof")},
			NotBefore:    day, NotAfter: day.AddDate(0, 3, 0), Created: day, Updated: day,
		},
		Secret: []byte("sealed secret 3"),
	}
	admin := store.Token{
		Token: api.Token{ID: "t1", Name: "admin", Role: api.RoleAdmin, Created: day, Expires: day.AddDate(0, 1, 0)},
		Hash:  [32]byte{1, 2, 3},
	}
	server := store.Token{
		Token: api.Token{ID: "t2", Name: "broker", Role: api.RoleAppServer, Created: day, Expires: day.AddDate(1, 0, 0)},
		Hash:  [32]byte{4, 5, 6}, SealingKey: []byte("sealing key"),
	}
	view(t, s, func(tx store.Tx) error {
		fleets, err1 := tx.ListFleets("", 10)
		sims, err2 := tx.ListSIMs(store.SIMFilter{}, "", 10)
		credentials, err3 := tx.ListCredentials(store.CredentialFilter{}, "", 10)
		tokens, err4 := tx.ListTokens("", 10)
		same(t, "fleets", fleets, []api.Fleet{locks, meters})
		same(t, "SIMs", sims, []store.SIM{meter, lock})
		same(t, "credentials", credentials, []store.Credential{revoked, active, psk})
		same(t, "tokens", tokens, []store.Token{admin, server})

		events, err5 := tx.Events(0, 10)
		same(t, "events", events, []api.Event{
			{Seq: 1, Mark: "0011223344556677", Time: day, SIM: &meter.SIM},
			{Seq: 2, Mark: "8899aabbccddeeff", Time: day, Credential: &active.Credential},
		})
		entries, err6 := tx.Audit(0, 10)
		old := []api.AuditEntry{
			{Seq: 1, Time: day, Actor: "t1", Action: "sim.seen", Subject: meter.ICCID, Before: "imported", After: "seen", Note: "note"},
			{Seq: 2, Time: day, Actor: "t1", Action: "credential.revoked", Subject: "0001", Before: "active", After: "revoked"},
		}
		var before api.AuditHash
		for i := range old { // they were chained since
			old[i].Hash = old[i].Chained(before)
			before = old[i].Hash
		}
		same(t, "audit", entries, old)
		setting, err7 := tx.Setting("feed")
		same(t, "the feed's identity", setting, "00112233445566778899aabbccddeeff")
		revision, err8 := tx.Revision()
		same(t, "a later revision than that of the list that was published", revision.Number > 2, true)
		on, err9 := tx.RevokedInShard(1, day)
		same(t, "on the CRL", on, []store.RevokedCertificate{{Serial: "0a01", Shard: 1, Code: 1, Since: day.Add(time.Second), NotAfter: day.AddDate(0, 3, 0), Revision: revision.Number}})
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9)
	})
	update(t, s, func(tx store.Tx) error {
		seq, err := tx.AppendEvent(api.Event{Time: day, SIM: &lock.SIM})
		same(t, "the next event's number", seq, int64(3))
		entry, err2 := tx.AppendAudit(api.AuditEntry{Time: day, Actor: "t1", Action: "sim.resumed", Subject: lock.ICCID})
		same(t, "the next audit entry's number", entry, int64(3))
		lock.State = api.Provisioned
		return errors.Join(err, err2, tx.UpdateSIM(lock))
	})
}
