package sqlite

import (
	"encoding/json"

	"github.com/simroot/simroot/api"
)

// The sequence numbers are rowids: one above the highest there is. Rows are never
// deleted and one goroutine writes, so they have no gaps and follow the commits.

// AppendEvent implements [store.History].
func (t *tx) AppendEvent(e api.Event) (int64, error) {
	at := e.Time
	e.Seq = 0
	body, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	r, err := t.exec("INSERT INTO events (time, body) VALUES (?, ?)", micros(at), string(body))
	if err != nil {
		return 0, err
	}
	seq, err := r.LastInsertId()
	t.wrote = seq
	return seq, t.note(err)
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
func (t *tx) Events(after int64, limit int) ([]api.Event, error) {
	return list(t, scanEvent, "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}

func (t *tx) lastEvent() (seq int64, err error) {
	return seq, t.one("SELECT coalesce(max(seq), 0) FROM events", nil, &seq)
}

// AppendAudit implements [store.History].
func (t *tx) AppendAudit(e api.AuditEntry) (int64, error) {
	r, err := t.exec("INSERT INTO audit (time, actor, action, subject, before, after, note) VALUES (?, ?, ?, ?, ?, ?, ?)",
		micros(e.Time), e.Actor, e.Action, e.Subject, e.Before, e.After, e.Note)
	if err != nil {
		return 0, err
	}
	seq, err := r.LastInsertId()
	return seq, t.note(err)
}

func scanAudit(row scanner) (e api.AuditEntry, err error) {
	err = row.Scan(&e.Seq, moment{&e.Time}, &e.Actor, &e.Action, &e.Subject, &e.Before, &e.After, &e.Note)
	return e, err
}

// Audit implements [store.History].
func (t *tx) Audit(after int64, limit int) ([]api.AuditEntry, error) {
	return list(t, scanAudit, "SELECT seq, time, actor, action, subject, before, after, note FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}
