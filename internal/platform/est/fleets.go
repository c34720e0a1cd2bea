package est

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// fleets are those that somebody has enrolled into lately, by name, as they were then.
type fleets struct {
	mu    sync.Mutex
	known map[string]api.Fleet
}

// maxFleets bounds how many are kept.
const maxFleets = 256

func (f *fleets) find(name string) (api.Fleet, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fleet, ok := f.known[name]
	return fleet, ok
}

func (f *fleets) keep(fleet api.Fleet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) == maxFleets {
		f.known = map[string]api.Fleet{}
	}
	f.known[fleet.Name] = fleet
}

// fleet finds one that enrols over EST.
func (s *Service) fleet(ctx context.Context, name string) (api.Fleet, error) {
	f, err := s.registry.Fleet(ctx, name)
	if err == nil && f.Profile.EST == nil {
		err = refuse.With(api.CodeForbidden, http.StatusForbidden, "fleet %s does not enrol over EST: its profile has no settings for it", name)
	}
	return f, err
}

// within enrols somebody into a fleet, which is not read again if it is known. What was allowed is held
// against the fleet of the moment by [credential.Life.Enrol]; what was refused is here.
func (s *Service) within(ctx context.Context, name string, enrol func(api.Fleet) error) error {
	known, ok := s.fleets.find(name)
	refused := credential.ErrFleetChanged
	if ok {
		if refused = enrol(known); refused == nil {
			return nil
		}
	}
	for range 3 { // who changes it all the time is told so
		now, err := s.fleet(ctx, name)
		if err != nil {
			return err
		}
		if ok && now.Version == known.Version && !errors.Is(refused, credential.ErrFleetChanged) {
			return refused
		}
		s.fleets.keep(now)
		known, ok = now, true
		if refused = enrol(now); !errors.Is(refused, credential.ErrFleetChanged) {
			return refused
		}
	}
	return refuse.Conflict("fleet %s is being changed: ask again", name)
}
