package sqlite

import (
	"database/sql"
	"encoding/json"
	"time"

	"github.com/simroot/simroot/api"
)

// micros is how a time is stored: microseconds since 1970, and 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment reads a stored time.
type moment struct{ at *time.Time }

// Scan implements [sql.Scanner].
func (m moment) Scan(value any) error {
	var n sql.NullInt64
	if err := n.Scan(value); err != nil {
		return err
	}
	*m.at = time.Time{}
	if n.Int64 != 0 {
		*m.at = time.UnixMicro(n.Int64).UTC()
	}
	return nil
}

// optional reads a text that may be absent.
type optional struct{ text *string }

// Scan implements [sql.Scanner].
func (o optional) Scan(value any) error {
	var s sql.NullString
	err := s.Scan(value)
	*o.text = s.String
	return err
}

// orNull stores an empty text as absent, so that unique indexes leave it alone.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Setting implements [store.Tx].
func (t *tx) Setting(name string) (value string, err error) {
	return value, t.one("SELECT value FROM settings WHERE name = ?", []any{name}, &value)
}

// SetSetting implements [store.Tx].
func (t *tx) SetSetting(name, value string) error {
	return t.insert("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}

// InsertFleet implements [store.Fleets].
func (t *tx) InsertFleet(f api.Fleet) error {
	profile, err := json.Marshal(f.Profile)
	if err != nil {
		return err
	}
	return t.insert("INSERT INTO fleets (name, profile, created) VALUES (?, ?, ?)", f.Name, string(profile), micros(f.Created))
}

func scanFleet(row scanner) (f api.Fleet, err error) {
	var profile []byte
	if err = row.Scan(&f.Name, &profile, moment{&f.Created}); err != nil {
		return f, err
	}
	return f, json.Unmarshal(profile, &f.Profile)
}

// Fleet implements [store.Fleets].
func (t *tx) Fleet(name string) (api.Fleet, error) {
	return single(t, scanFleet, "SELECT name, profile, created FROM fleets WHERE name = ?", name)
}

// ListFleets implements [store.Fleets].
func (t *tx) ListFleets(after string, limit int) ([]api.Fleet, error) {
	return list(t, scanFleet, "SELECT name, profile, created FROM fleets WHERE name > ? ORDER BY name LIMIT ?", after, limit)
}
