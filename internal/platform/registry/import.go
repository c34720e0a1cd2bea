package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/twice"
)

// keysRecord names the record that the envelope of a SIM's keys is bound to.
func keysRecord(iccid string) string {
	return store.Envelope{Kind: store.SIMEnvelope, Key: iccid}.Record()
}

var batchID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Import takes a batch file into a fleet: all its SIMs, or none.
func (r *Registry) Import(ctx context.Context, actor, fleetName string, batch io.Reader) (api.ImportResult, error) {
	return r.ImportWith(ctx, actor, fleetName, batch, api.ImportOptions{})
}

// ImportWith is Import with options. It holds a few hundred SIMs at a time, however many there are.
// They are written as they come, a chunk in a transaction, and are there for nobody else before the
// last one is: then all of them are, in one step. They come onto the feed in the
// background ([Registry.Work]), unless they are few. An import that fails or is cut off leaves nothing.
func (r *Registry) ImportWith(ctx context.Context, actor, fleetName string, batch io.Reader, o api.ImportOptions) (api.ImportResult, error) {
	if _, err := r.Fleet(ctx, fleetName); err != nil {
		return api.ImportResult{}, err
	}
	if o.ID == "" {
		o.ID = rand.Text()
	} else if !batchID.MatchString(o.ID) {
		return api.ImportResult{}, refuse.BadRequest("batch ID %.70q: want 1 to 64 letters, digits, '.', '_' or '-'", o.ID)
	}
	if before, err := r.importedBefore(ctx, fleetName, o.ID); err != nil || before.Repeated {
		return before, err
	}
	file, err := api.NewBatchReader(batch)
	if err != nil {
		return api.ImportResult{}, refused(err)
	}
	opener, key, err := r.openerFor(ctx, file.Header().TransportKey)
	if err != nil {
		return api.ImportResult{}, err
	}
	l := &load{
		registry: r, opener: opener, key: key, actor: actor, id: o.ID, fleet: fleetName, keepGood: o.KeepGood, now: r.now(),
		progress: progress{batch: store.Batch{ID: o.ID, Fleet: fleetName, State: store.BatchLoading}},
	}
	if o.DryRun {
		l.numbers = &twice.List{}
		defer l.numbers.Close() //nolint:errcheck // it has been read, or is of no use any more
	}
	err = l.run(ctx, file)
	switch {
	case err != nil:
	case o.DryRun:
		err = l.lookTwice()
	default:
		err = l.finish(ctx)
	}
	if err != nil {
		// Whoever asked may be gone, and what is there has to go all the same.
		return api.ImportResult{}, errors.Join(refused(err), l.discard(context.WithoutCancel(ctx)))
	}
	if l.batch.State == store.BatchAnnouncing {
		select {
		case r.announce <- struct{}{}:
		default: // it is asked for already
		}
	}
	return api.ImportResult{Imported: l.batch.Imported, Rejected: l.batch.Rejected, Errors: l.errors, DryRun: o.DryRun}, nil
}

// importedBefore is the result of a batch that is there already.
func (r *Registry) importedBefore(ctx context.Context, fleetName, id string) (result api.ImportResult, err error) {
	var b store.Batch
	err = r.store.View(ctx, func(tx store.Tx) (err error) {
		b, err = tx.Batch(id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return result, nil
	case err != nil:
		return result, err
	case b.State == store.BatchLoading:
		return result, refuse.Conflict("batch %s is being imported: wait until that has ended; what an import left that was cut off is removed within %s", id, staleBatch)
	case b.Fleet != fleetName:
		return result, refuse.Conflict("batch %s was imported into fleet %s", id, b.Fleet)
	}
	return api.ImportResult{Imported: b.Imported, Rejected: b.Rejected, Repeated: true}, nil
}

// imported writes down that a batch is there.
func imported(tx store.Tx, now time.Time, actor string, b store.Batch) error {
	note := fmt.Sprintf("%d SIMs, batch %s", b.Imported, b.ID)
	if b.Rejected > 0 {
		note = fmt.Sprintf("%d SIMs, %d lines left out, batch %s", b.Imported, b.Rejected, b.ID)
	}
	return audit.Append(tx, api.AuditEntry{
		Time: now, Actor: actor, Action: "batch.imported", Subject: b.Fleet, After: string(api.Imported), Note: note,
	})
}

// refused turns what is wrong with a batch file into a refusal. Other errors, of the
// connection that the file comes through for example, stay what they are.
func refused(err error) error {
	var known *knownError
	var wrong *api.BatchError
	switch {
	case errors.As(err, &known):
		return refuse.With(api.CodeAlreadyExists, http.StatusConflict, "%v; nothing of this file was imported", err)
	case errors.As(err, &wrong):
		return refuse.BadRequest("%v; nothing of this file was imported", wrong)
	}
	return err
}
