// Package registry knows the SIMs and the fleets they belong to. It keeps the SIMs' keys,
// lets the relay have them for a SIM that may come, and moves SIMs through their life.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/page"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// SIMKeys are the SCP03 keys of one SIM. No verb of package fmt prints them.
type SIMKeys struct {
	KeyVersion byte
	Domain     []byte // AID of the security domain

	ENC, MAC, DEK []byte // AES-128
}

// String reveals nothing of the keys.
func (k SIMKeys) String() string { return fmt.Sprintf("SIM keys, version %02X", k.KeyVersion) }

// GoString reveals nothing of the keys.
func (k SIMKeys) GoString() string { return k.String() }

// Filter restricts a list of SIMs; empty fields restrict nothing.
type Filter struct {
	Fleet string
	State api.SIMState
}

// Registry is safe for concurrent use.
type Registry struct {
	store    store.Store
	envelope *envelope.Envelope
	opener   *api.Opener // of what is sealed to the transport key
	public   []byte

	batchKeysOnly bool // see [Registry.BatchKeysOnly]

	announce chan struct{} // has a batch put on the feed
	now      func() time.Time
}

// New returns a registry. TransportKey is the private key that batch files are sealed to;
// a nil clock means time.Now.
func New(s store.Store, e *envelope.Envelope, transportKey []byte, now func() time.Time) (*Registry, error) {
	public, err := api.SealPublic(transportKey)
	if err != nil {
		return nil, fmt.Errorf("registry: transport key: %w", err)
	}
	opener, err := api.NewOpener(transportKey)
	if err != nil {
		return nil, fmt.Errorf("registry: transport key: %w", err)
	}
	return &Registry{store: s, envelope: e, opener: opener, public: public, announce: make(chan struct{}, 1), now: clock.Of(now)}, nil
}

// TransportKey is the standing public key that batch files may be sealed to; nil: there is none.
func (r *Registry) TransportKey() []byte {
	if r.batchKeysOnly {
		return nil
	}
	return r.public
}

// BatchKeysOnly has the registry refuse batches that are sealed to the standing key
// ([Registry.NewBatchKey] makes others). It is called before anything else.
func (r *Registry) BatchKeysOnly() { r.batchKeysOnly = true }

var fleetName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CreateFleet makes a fleet; what its profile leaves open is filled.
func (r *Registry) CreateFleet(ctx context.Context, actor string, f api.Fleet) (api.Fleet, error) {
	if !fleetName.MatchString(f.Name) {
		return f, refuse.BadRequest("fleet name %q: want 1 to 64 of a-z, 0-9, '.', '_', '-', the first a letter or digit", f.Name)
	}
	var err error
	if f.Profile, err = complete(f.Profile.ForNewFleet()); err != nil {
		return f, err
	}
	f.Created, f.Version = r.now(), 1
	err = r.store.Update(ctx, func(tx store.Tx) error {
		err := tx.InsertFleet(f)
		if errors.Is(err, store.ErrExists) {
			return refuse.With(api.CodeAlreadyExists, http.StatusConflict, "there is a fleet %q already", f.Name)
		}
		if err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{Time: f.Created, Actor: actor, Action: "fleet.created", Subject: f.Name})
	})
	return f, err
}

// complete fills what a profile leaves open, and refuses one that cannot be used.
func complete(p api.Profile) (api.Profile, error) {
	p = p.WithDefaults()
	if err := p.Check(); err != nil {
		return p, refuse.BadRequest("profile: %v", err)
	}
	if len(p.Organization) > 64 {
		return p, refuse.BadRequest("organization: %d bytes: a certificate has room for 64", len(p.Organization))
	}
	return p, nil
}

// Fleet returns one fleet.
func (r *Registry) Fleet(ctx context.Context, name string) (f api.Fleet, err error) {
	err = r.store.View(ctx, func(tx store.Tx) (err error) {
		f, err = fleet(tx, name)
		return err
	})
	return f, err
}

func fleet(tx store.Tx, name string) (api.Fleet, error) {
	f, err := tx.Fleet(name)
	if errors.Is(err, store.ErrNotFound) {
		return f, refuse.UnknownFleet(name)
	}
	return f, err
}

// Fleets lists the fleets by name.
func (r *Registry) Fleets(ctx context.Context, after string, limit int) (api.Page[api.Fleet], error) {
	return page.View(ctx, r.store, limit, func(tx store.Tx, most int) ([]api.Fleet, error) {
		return tx.ListFleets(after, most)
	}, page.Same[api.Fleet], func(f api.Fleet) string { return f.Name })
}

// SIM returns one SIM.
func (r *Registry) SIM(ctx context.Context, iccid string) (s api.SIM, err error) {
	err = r.store.View(ctx, func(tx store.Tx) error {
		row, err := sim(tx, iccid)
		s = row.SIM
		return err
	})
	return s, err
}

// FleetsOf tells of which fleets SIMs are, of any number of SIMs. Those that are not there are left out.
func (r *Registry) FleetsOf(ctx context.Context, iccids []string) (fleets map[string]store.SIMFleets, err error) {
	err = r.store.View(ctx, func(tx store.Tx) error {
		fleets, err = tx.FleetsOf(iccids)
		return err
	})
	return fleets, err
}

func sim(tx store.Tx, iccid string) (store.SIM, error) {
	s, err := tx.SIM(iccid)
	if errors.Is(err, store.ErrNotFound) {
		return s, refuse.UnknownSIM(iccid)
	}
	return s, err
}

// SIMs lists the SIMs by ICCID.
func (r *Registry) SIMs(ctx context.Context, f Filter, after string, limit int) (api.Page[api.SIM], error) {
	return page.View(ctx, r.store, limit, func(tx store.Tx, most int) ([]store.SIM, error) {
		return tx.ListSIMs(store.SIMFilter(f), after, most)
	}, func(s store.SIM) api.SIM { return s.SIM }, func(s store.SIM) string { return s.ICCID })
}
