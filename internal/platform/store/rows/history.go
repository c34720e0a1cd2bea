package rows

import (
	"bytes"
	"encoding/json"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// The sequence numbers are counted in the transaction. Rows are never deleted and
// transactions that change something follow each other, so they have no gaps and follow the
// commits.

// AppendEvent implements [store.History].
func (t *Tx) AppendEvent(e api.Event) (int64, error) {
	at := e.Time
	e.Seq = 0
	body, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	t.numbers.Event++
	return t.numbers.Event, t.append("INSERT INTO events (seq, time, body) VALUES (?, ?, ?)", t.numbers.Event, micros(at), string(body))
}

func scanEvent(row scanner) (e api.Event, err error) {
	var seq int64
	var body []byte
	if err = row.Scan(&seq, &body); err != nil {
		return e, err
	}
	err = json.Unmarshal(body, &e)
	e.Seq = seq
	return e, err
}

// Events implements [store.History].
func (t *Tx) Events(after int64, limit int) ([]api.Event, error) {
	if err := t.appended(); err != nil {
		return nil, err
	}
	return list(t, scanEvent, "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}

// AppendAudit implements [store.History].
func (t *Tx) AppendAudit(e api.AuditEntry) (int64, error) {
	e.Seq = t.numbers.Audit + 1
	e.Hash = e.Chained(t.numbers.AuditHash)
	t.numbers.Audit, t.numbers.AuditHash = e.Seq, e.Hash
	return e.Seq, t.append("INSERT INTO audit (seq, time, actor, action, subject, before, after, note, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e.Seq, micros(e.Time), e.Actor, e.Action, e.Subject, e.Before, e.After, e.Note, e.Hash[:])
}

// chainHash reads the hash of an audit entry. One of a wrong length reads as zero, which is no
// entry's hash, so that whoever checks the chain meets it.
type chainHash struct{ into *api.AuditHash }

// Scan implements [sql.Scanner].
func (h chainHash) Scan(value any) error {
	*h.into = api.AuditHash{}
	if b, ok := value.([]byte); ok && len(b) == len(h.into) {
		copy(h.into[:], b)
	}
	return nil
}

func scanAudit(row scanner) (e api.AuditEntry, err error) {
	err = row.Scan(&e.Seq, moment{&e.Time}, &e.Actor, &e.Action, &e.Subject, &e.Before, &e.After, &e.Note, chainHash{&e.Hash})
	return e, err
}

// Audit implements [store.History].
func (t *Tx) Audit(after int64, limit int) ([]api.AuditEntry, error) {
	if err := t.appended(); err != nil {
		return nil, err
	}
	return list(t, scanAudit, "SELECT seq, time, actor, action, subject, before, after, note, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}

// ChainOldAudit gives their hashes to entries that were written before there were any. An engine
// does this once when it opens.
func ChainOldAudit(tx store.Tx) error {
	t := tx.(*Tx)
	var old int
	if err := t.one("SELECT count(*) FROM audit WHERE seq = 1 AND length(hash) = 0", nil, &old); err != nil || old == 0 {
		return err
	}
	var head api.AuditHead
	for {
		entries, err := t.Audit(head.Seq, 1000)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			t.numbers.AuditHash = head.Hash
			return nil
		}
		for _, e := range entries {
			head.Seq, head.Hash = e.Seq, e.Chained(head.Hash)
			// An engine may keep the statement back, so its hash is one of its own.
			if err := t.change("UPDATE audit SET hash = ? WHERE seq = ?", bytes.Clone(head.Hash[:]), e.Seq); err != nil {
				return err
			}
		}
	}
}
