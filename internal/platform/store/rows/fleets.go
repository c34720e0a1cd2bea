package rows

import (
	"encoding/json"

	"github.com/simroot/simroot/api"
)

// InsertFleet implements [store.Fleets].
func (t *Tx) InsertFleet(f api.Fleet) error {
	profile, err := json.Marshal(f.Profile)
	if err != nil {
		return err
	}
	return t.insert("INSERT INTO fleets ("+fleetColumns+") VALUES (?, ?, ?, ?)", f.Name, string(profile), micros(f.Created), f.Version)
}

const fleetColumns = "name, profile, created, version"

// intoFleet is where fleetColumns are read into.
func intoFleet(f *api.Fleet, profile *[]byte) []any {
	return []any{&f.Name, profile, moment{&f.Created}, &f.Version}
}

func scanFleet(row scanner) (f api.Fleet, err error) {
	var profile []byte
	if err = row.Scan(intoFleet(&f, &profile)...); err != nil {
		return f, err
	}
	f.Profile, err = parseProfile(profile)
	return f, err
}

func parseProfile(text []byte) (p api.Profile, err error) {
	err = json.Unmarshal(text, &p)
	return p.WithDefaults(), err
}

// Fleet implements [store.Fleets].
func (t *Tx) Fleet(name string) (api.Fleet, error) {
	return single(t, scanFleet, "SELECT "+fleetColumns+" FROM fleets WHERE name = ?", name)
}

// ListFleets implements [store.Fleets].
func (t *Tx) ListFleets(after string, limit int) ([]api.Fleet, error) {
	return list(t, scanFleet, "SELECT "+fleetColumns+" FROM fleets WHERE name > ? ORDER BY name LIMIT ?", after, limit)
}

// UpdateFleet implements [store.Fleets].
func (t *Tx) UpdateFleet(f api.Fleet) error {
	profile, err := json.Marshal(f.Profile)
	if err != nil {
		return err
	}
	return t.change("UPDATE fleets SET profile = ?, version = ? WHERE name = ?", string(profile), f.Version, f.Name)
}
