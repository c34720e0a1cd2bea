package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/token"
)

// A token or an application server may be restricted to some fleets. What belongs to others is
// then answered like what is not there. An operation on one SIM, credential or fleet is checked here,
// by its path; one of those below looks after itself; any other is refused.
var lookAfterThemselves = map[string]bool{
	"list-fleets": true, "list-sims": true, "list-credentials": true, "import-batch": true,
	"create-campaign": true, "list-campaigns": true,
	"follow-feed": true, "get-secrets": true, "renew-appserver": true,
}

// within refuses what is beyond the fleets of a principal that is restricted to some.
func (s *Server) within(ctx huma.Context, p token.Principal) error {
	op := ctx.Operation()
	switch beneath := func(collection, parameter string) bool {
		return strings.HasPrefix(op.Path, collection+"/{"+parameter+"}")
	}; {
	case lookAfterThemselves[op.OperationID]:
		return nil
	case beneath(api.PathSIMs, "iccid"):
		iccid := ctx.Param("iccid")
		sim, err := s.services.Registry.SIM(ctx.Context(), iccid)
		if err != nil {
			return err
		}
		there, err := s.shows(ctx.Context(), p, api.Event{SIM: &sim})
		if err == nil && !there[0] {
			err = refuse.UnknownSIM(iccid)
		}
		return err
	case beneath(api.PathCredentials, "id"):
		id := ctx.Param("id")
		c, err := s.services.Credentials.Credential(ctx.Context(), id)
		if err != nil {
			return err
		}
		return s.showsCredential(ctx.Context(), p, c)
	case beneath(api.PathCampaigns, "id"):
		id := ctx.Param("id")
		c, err := s.services.Campaigns.Campaign(ctx.Context(), id)
		if err == nil && !p.Sees(c.Fleet) {
			err = refuse.UnknownCampaign(id)
		}
		return err
	case beneath(api.PathFleets, "name"):
		if name := ctx.Param("name"); !p.Sees(name) {
			return refuse.UnknownFleet(name)
		}
		return nil
	}
	return refuse.With(api.CodeForbidden, http.StatusForbidden,
		"this is about all fleets, and the token is for %s only: take one without that restriction", strings.Join(p.Fleets, ", "))
}

// shows tells which SIMs and credentials are there for a principal. A SIM that was moved holds a
// credential of the fleet where it was until it comes next; it is there for those who see one of
// the two, so that none who accepts it misses what becomes of it.
func (s *Server) shows(ctx context.Context, p token.Principal, events ...api.Event) (there []bool, err error) {
	there = make([]bool, len(events))
	var others []string // SIMs that are of other fleets, or their credentials are
	for i := range events {
		var iccid, fleet string
		if c := events[i].Credential; c != nil {
			iccid, fleet = c.ICCID, c.Fleet
		} else {
			iccid, fleet = events[i].SIM.ICCID, events[i].SIM.Fleet
		}
		if there[i] = p.Sees(fleet); !there[i] {
			others = append(others, iccid)
		}
	}
	if len(others) == 0 {
		return there, nil
	}
	slices.Sort(others)
	fleets, err := s.services.Registry.FleetsOf(ctx, slices.Compact(others))
	if err != nil {
		return nil, err
	}
	for i := range events {
		switch c := events[i].Credential; {
		case there[i]:
		case c != nil:
			there[i] = fleets[c.ICCID].Present != "" && p.Sees(fleets[c.ICCID].Present)
		default:
			there[i] = slices.ContainsFunc(fleets[events[i].SIM.ICCID].Held, p.Sees)
		}
	}
	return there, nil
}

// showsCredential refuses a credential that is not there for a principal, like one that is not there.
func (s *Server) showsCredential(ctx context.Context, p token.Principal, c api.Credential) error {
	there, err := s.shows(ctx, p, api.Event{Credential: &c})
	if err == nil && !there[0] {
		err = refuse.UnknownCredential(c.ID)
	}
	return err
}

// listedFleet is the fleet to which a list is restricted, empty for all.
func listedFleet(ctx context.Context, asked string) (string, error) {
	switch p := principal(ctx); {
	case asked != "" && !p.Sees(asked):
		return "", refuse.UnknownFleet(asked)
	case asked != "" || len(p.Fleets) == 0:
		return asked, nil
	case len(p.Fleets) == 1:
		return p.Fleets[0], nil
	default:
		return "", refuse.BadRequest("fleet: this token is for several fleets: say which one, of %s", strings.Join(p.Fleets, ", "))
	}
}
