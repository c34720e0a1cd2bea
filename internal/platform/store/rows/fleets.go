package rows

import (
	"encoding/json"
	"sync"

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

// parsed are profiles that were read lately, by their text: there are few, and every onboarding and
// enrolment reads one.
var parsed = struct {
	sync.RWMutex
	profiles map[string]api.Profile
}{profiles: map[string]api.Profile{}}

// maxParsed bounds how many are kept.
const maxParsed = 256

func parseProfile(text []byte) (p api.Profile, err error) {
	parsed.RLock()
	p, known := parsed.profiles[string(text)]
	parsed.RUnlock()
	if !known {
		if err := json.Unmarshal(text, &p); err != nil {
			return p, err
		}
		p = p.WithDefaults()
		parsed.Lock()
		if len(parsed.profiles) == maxParsed {
			clear(parsed.profiles)
		}
		parsed.profiles[string(text)] = p
		parsed.Unlock()
	}
	if p.EST != nil { // who changes what he has got changes it for himself
		own := *p.EST
		p.EST = &own
	}
	return p, nil
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
