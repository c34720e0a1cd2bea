package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/page"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// How long a transport key for one batch is good.
const (
	batchKeyLifetime    = 30 * 24 * time.Hour
	maxBatchKeyLifetime = 365 * 24 * time.Hour
)

// transportRecord names the record that the envelope of a private transport key is bound to.
func transportRecord(id string) string {
	return store.Envelope{Kind: store.TransportEnvelope, Key: id}.Record()
}

// NewBatchKey makes a transport key for one batch.
func (r *Registry) NewBatchKey(ctx context.Context, actor string, q api.BatchKeyRequest) (api.BatchKey, error) {
	lifetime := time.Duration(q.Lifetime)
	if lifetime == 0 {
		lifetime = batchKeyLifetime
	}
	if lifetime < 0 || lifetime > maxBatchKeyLifetime {
		return api.BatchKey{}, refuse.BadRequest("a transport key that is good for %s: want at most %s", lifetime, maxBatchKeyLifetime)
	}
	private, public, err := api.GenerateSealKey()
	if err != nil {
		return api.BatchKey{}, err
	}
	defer clear(private)
	now := r.now()
	row := store.TransportKey{ID: hex.EncodeToString(public), Note: q.Note, Created: now, Expires: now.Add(lifetime)}
	if row.Secret, err = r.envelope.Seal(ctx, transportRecord(row.ID), private); err != nil {
		return api.BatchKey{}, err
	}
	err = r.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.InsertTransportKey(row); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{Time: now, Actor: actor, Action: "transport-key.created", Subject: row.ID, Note: row.Note})
	})
	if err != nil {
		return api.BatchKey{}, err
	}
	return batchKey(row), nil
}

// BatchKeys lists the transport keys for one batch each.
func (r *Registry) BatchKeys(ctx context.Context, after string, limit int) (api.Page[api.BatchKey], error) {
	return page.View(ctx, r.store, limit, func(tx store.Tx, most int) ([]store.TransportKey, error) {
		return tx.ListTransportKeys(after, most)
	}, batchKey, func(k store.TransportKey) string { return k.ID })
}

func batchKey(k store.TransportKey) api.BatchKey {
	public, _ := hex.DecodeString(k.ID) // as it was encoded
	return api.BatchKey{Key: public, Note: k.Note, Created: k.Created, Expires: k.Expires, Used: k.Used, Batch: k.Batch, Withdrawn: k.Withdrawn}
}

// WithdrawBatchKey erases the private half of a transport key that was not used. Withdrawing it again
// changes nothing.
func (r *Registry) WithdrawBatchKey(ctx context.Context, actor string, public []byte) error {
	id, now := hex.EncodeToString(public), r.now()
	return r.store.Update(ctx, func(tx store.Tx) error {
		k, err := tx.TransportKey(id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refuse.With(api.CodeUnknownTransportKey, http.StatusNotFound, "there is no transport key %s for one batch", id)
		case err != nil:
			return err
		case !k.Used.IsZero():
			return refuse.Conflict("transport key %s was used for batch %s, and erased then: there is nothing to withdraw", id, k.Batch)
		case !k.Withdrawn.IsZero():
			return nil
		}
		if err := tx.WithdrawTransportKey(id, now); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{Time: now, Actor: actor, Action: "transport-key.withdrawn", Subject: id, Note: k.Note})
	})
}

// openerFor finds the private half of what a batch file is sealed to. ID is that of a key for this
// one batch, and empty for the standing key.
func (r *Registry) openerFor(ctx context.Context, public []byte) (o *api.Opener, id string, err error) {
	if bytes.Equal(public, r.public) {
		if r.batchKeysOnly {
			return nil, "", refuse.Conflict("batch file, line 1: it is sealed to the platform's standing transport key, and this platform takes each batch under a key of its own only: have one made (simroot platform transport-key new) and the batch sealed to it")
		}
		return r.opener, "", nil
	}
	id = hex.EncodeToString(public)
	var k store.TransportKey
	err = r.store.View(ctx, func(tx store.Tx) (err error) {
		k, err = tx.TransportKey(id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, "", refuse.BadRequest("batch file, line 1: it is sealed to transport key %x, which is none of this platform: have it made with this platform's key", public)
	case err != nil:
		return nil, "", err
	case !k.Used.IsZero():
		return nil, "", keyUsed(id, k.Batch)
	case !k.Withdrawn.IsZero():
		return nil, "", keyWithdrawn(k)
	case !r.now().Before(k.Expires) || k.Secret == nil:
		return nil, "", refuse.Conflict("batch file, line 1: its transport key %s expired on %s: have another made (simroot platform transport-key new) and the batch sealed to it", id, k.Expires.UTC().Format(time.DateTime))
	}
	private, err := r.envelope.Open(ctx, transportRecord(id), k.Secret)
	if err != nil {
		return nil, "", err
	}
	defer clear(private)
	o, err = api.NewOpener(private)
	return o, id, err
}

func keyUsed(id, batch string) error {
	return refuse.Conflict("batch file, line 1: its transport key %s was used before, for batch %s, and is good for one only: have another made (simroot platform transport-key new) and the batch sealed to it", id, batch)
}

func keyWithdrawn(k store.TransportKey) error {
	return refuse.Conflict("batch file, line 1: its transport key %s was withdrawn on %s: have another made (simroot platform transport-key new) and the batch sealed to it", k.ID, k.Withdrawn.UTC().Format(time.DateTime))
}

// useKey notes that the transport key of a batch is used up.
func (l *load) useKey(tx store.Tx) error {
	if l.key == "" {
		return nil
	}
	err := tx.UseTransportKey(l.key, l.id, l.now)
	if errors.Is(err, store.ErrNotFound) { // another import was faster, or the withdrawal
		k, err := tx.TransportKey(l.key)
		if err != nil {
			return err
		}
		if !k.Withdrawn.IsZero() {
			return keyWithdrawn(k)
		}
		return keyUsed(l.key, k.Batch)
	}
	return err
}
