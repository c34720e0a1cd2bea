package rows

import (
	"encoding/json"

	"github.com/simroot/simroot/api"
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
	return t.numbers.Event, t.change("INSERT INTO events (seq, time, body) VALUES (?, ?, ?)", t.numbers.Event, micros(at), string(body))
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
	return list(t, scanEvent, "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}

// AppendAudit implements [store.History].
func (t *Tx) AppendAudit(e api.AuditEntry) (int64, error) {
	t.numbers.Audit++
	return t.numbers.Audit, t.change("INSERT INTO audit (seq, time, actor, action, subject, before, after, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		t.numbers.Audit, micros(e.Time), e.Actor, e.Action, e.Subject, e.Before, e.After, e.Note)
}

func scanAudit(row scanner) (e api.AuditEntry, err error) {
	err = row.Scan(&e.Seq, moment{&e.Time}, &e.Actor, &e.Action, &e.Subject, &e.Before, &e.After, &e.Note)
	return e, err
}

// Audit implements [store.History].
func (t *Tx) Audit(after int64, limit int) ([]api.AuditEntry, error) {
	return list(t, scanAudit, "SELECT seq, time, actor, action, subject, before, after, note FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}
