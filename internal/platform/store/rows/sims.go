package rows

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

const simColumns = "iccid, fleet, state, key_version, domain, keys, session, created, updated, last_seen, attributes, replaces, anchors, batch"

func scanSIM(row scanner) (s store.SIM, err error) {
	return s, row.Scan(intoSIM(&s)...)
}

// intoSIM is where simColumns are read into.
func intoSIM(s *store.SIM) []any {
	return []any{&s.ICCID, &s.Fleet, &s.State, &s.KeyVersion, &s.Domain, &s.Keys, &s.Session,
		moment{&s.Created}, moment{&s.Updated}, moment{&s.LastSeen}, attributes{&s.Attributes}, &s.Replaces, &s.Anchors, &s.Batch}
}

const (
	insertSIMs = "INSERT INTO sims (" + simColumns + ") VALUES "
	simValues  = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	// manySIMs go into one statement: one round trip to a database that is elsewhere.
	manySIMs = 50
)

var insertManySIMs = insertSIMs + strings.Repeat(simValues+", ", manySIMs-1) + simValues + " ON CONFLICT DO NOTHING RETURNING iccid"

func simRow(s store.SIM) []any {
	return []any{s.ICCID, s.Fleet, string(s.State), int64(s.KeyVersion), s.Domain, s.Keys, s.Session,
		micros(s.Created), micros(s.Updated), micros(s.LastSeen), attributesText(s.Attributes), s.Replaces, s.Anchors, s.Batch}
}

// InsertSIM implements [store.SIMs].
func (t *Tx) InsertSIM(s store.SIM) error {
	return t.insert(insertSIMs+simValues, simRow(s)...)
}

// InsertSIMs implements [store.SIMs].
func (t *Tx) InsertSIMs(sims []store.SIM) (made []string, err error) {
	for len(sims) >= manySIMs {
		var values []any
		for _, s := range sims[:manySIMs] {
			values = append(values, simRow(s)...)
		}
		some, err := list(t, func(row scanner) (iccid string, err error) { return iccid, row.Scan(&iccid) }, insertManySIMs, values...)
		if err != nil {
			return nil, err
		}
		made, sims = append(made, some...), sims[manySIMs:]
	}
	for _, s := range sims {
		switch err := t.InsertSIM(s); {
		case err == nil:
			made = append(made, s.ICCID)
		case !errors.Is(err, store.ErrExists):
			return nil, err
		}
	}
	return made, nil
}

// SIM implements [store.SIMs].
func (t *Tx) SIM(iccid string) (store.SIM, error) {
	return single(t, scanSIM, "SELECT "+simColumns+" FROM sims WHERE iccid = ?"+loaded, iccid)
}

var selectStanding = "SELECT " + of("sims", simColumns) + ", " + of("fleets", fleetColumns) + `, EXISTS (SELECT 1 FROM credentials
	WHERE credentials.iccid = sims.iccid AND credentials.state = 'revoked' AND credentials.revoked_from <> 'superseded')
	FROM sims JOIN fleets ON fleets.name = sims.fleet WHERE sims.iccid = ?` + loaded

// Standing implements [store.SIMs].
func (t *Tx) Standing(iccid string) (store.Standing, error) {
	return single(t, func(row scanner) (s store.Standing, err error) {
		var profile []byte
		if err := row.Scan(append(append(intoSIM(&s.SIM), intoFleet(&s.Fleet, &profile)...), &s.Revoked)...); err != nil {
			return s, err
		}
		s.Fleet.Profile, err = parseProfile(profile)
		return s, err
	}, selectStanding, iccid)
}

// ListSIMs implements [store.SIMs].
func (t *Tx) ListSIMs(f store.SIMFilter, after string, limit int) ([]store.SIM, error) {
	if f.Fleet != "" {
		return list(t, scanSIM, "SELECT "+simColumns+` FROM sims
			WHERE fleet = ? AND iccid > ? AND (?3 = '' OR state = ?3)`+loaded+`ORDER BY iccid LIMIT ?`,
			f.Fleet, after, string(f.State), limit)
	}
	if f.State != "" { // each restriction has its index
		return list(t, scanSIM, "SELECT "+simColumns+` FROM sims
			WHERE state = ? AND iccid > ?`+loaded+`ORDER BY iccid LIMIT ?`, string(f.State), after, limit)
	}
	return list(t, scanSIM, "SELECT "+simColumns+` FROM sims
		WHERE iccid > ?`+loaded+`ORDER BY iccid LIMIT ?`, after, limit)
}

// UpdateSIM implements [store.SIMs].
func (t *Tx) UpdateSIM(s store.SIM) error {
	return t.change("UPDATE sims SET fleet = ?, state = ?, session = ?, updated = ?, last_seen = ?, attributes = ?, replaces = ?, anchors = ? WHERE iccid = ?",
		s.Fleet, string(s.State), s.Session, micros(s.Updated), micros(s.LastSeen), attributesText(s.Attributes), s.Replaces, s.Anchors, s.ICCID)
}

// attributesText is how attributes are stored: as JSON, and an empty text for none.
func attributesText(a api.Attributes) string {
	if len(a) == 0 {
		return ""
	}
	text, _ := json.Marshal(a) // texts can always be written
	return string(text)
}

// attributes reads what attributesText wrote.
type attributes struct{ into *api.Attributes }

// Scan implements [database/sql.Scanner].
func (a attributes) Scan(value any) error {
	var text string
	*a.into = nil
	if err := (optional{&text}).Scan(value); err != nil || text == "" {
		return err
	}
	return json.Unmarshal([]byte(text), a.into)
}
