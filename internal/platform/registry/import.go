package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// keysRecord names the record that the envelope of a SIM's keys is bound to.
func keysRecord(iccid string) string {
	return store.Envelope{Kind: store.SIMEnvelope, Key: iccid}.Record()
}

// firstSIMLine is the line of the first SIM in a batch file.
const firstSIMLine = 2

// Import takes a batch file into a fleet: all its SIMs, or none. The file is read, and its
// keys moved into envelopes, before the transaction begins.
func (r *Registry) Import(ctx context.Context, actor, fleetName string, batch io.Reader) (api.ImportResult, error) {
	if _, err := r.Fleet(ctx, fleetName); err != nil {
		return api.ImportResult{}, err
	}
	rows, err := r.read(ctx, fleetName, batch)
	if err != nil {
		return api.ImportResult{}, err
	}
	now := r.now()
	err = r.store.Update(ctx, func(tx store.Tx) error {
		for i := range rows {
			s := &rows[i]
			s.Created, s.Updated = now, now
			err := tx.InsertSIM(s.SIM)
			if errors.Is(err, store.ErrExists) {
				return refuse.With(api.CodeAlreadyExists, http.StatusConflict,
					"batch file, line %d: SIM %s was imported before; nothing of this file was imported", firstSIMLine+i, s.ICCID)
			}
			if err != nil {
				return err
			}
			if err := feed.SIM(tx, now, s.SIM.SIM); err != nil {
				return err
			}
			if len(s.enrolment) > 0 {
				if err := tx.SetEnrolmentSecret(store.EnrolmentSecret{ICCID: s.ICCID, Hash: [32]byte(s.enrolment), Created: now}); err != nil {
					return err
				}
			}
		}
		return audit.Append(tx, api.AuditEntry{
			Time: now, Actor: actor, Action: "batch.imported", Subject: fleetName,
			After: string(api.Imported), Note: fmt.Sprintf("%d SIMs", len(rows)),
		})
	})
	if err != nil {
		return api.ImportResult{}, err
	}
	return api.ImportResult{Imported: len(rows)}, nil
}

// entry is a SIM of a batch, as it is stored.
type entry struct {
	store.SIM
	enrolment []byte // hash of its one-time secret, if it has one
}

// read checks a batch file to its end and returns the rows of its SIMs.
func (r *Registry) read(ctx context.Context, fleetName string, batch io.Reader) ([]entry, error) {
	file, err := api.NewBatchReader(batch)
	if err != nil {
		return nil, refused(err)
	}
	if key := file.Header().TransportKey; !bytes.Equal(key, r.public) {
		return nil, refuse.BadRequest("batch file, line 1: it is sealed to transport key %x, but that of this platform is %x: have it made with this platform's key", key, r.public)
	}
	var rows []entry
	for {
		sealed, err := file.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, refused(err)
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		plain, err := sealed.Open(r.private)
		if err != nil {
			return nil, refused(&api.BatchError{Line: file.Line(), Err: err})
		}
		row, err := r.row(ctx, fleetName, plain)
		if err != nil {
			return nil, err
		}
		rows = append(rows, entry{row, plain.Enrolment})
	}
}

// row puts the keys of a SIM into an envelope, and clears them.
func (r *Registry) row(ctx context.Context, fleetName string, plain api.PlainSIM) (row store.SIM, err error) {
	keys := bytes.Join([][]byte{plain.ENC, plain.MAC, plain.DEK}, nil)
	defer func() {
		for _, key := range [][]byte{keys, plain.ENC, plain.MAC, plain.DEK} {
			clear(key)
		}
	}()
	row = store.SIM{
		SIM:        api.SIM{ICCID: plain.ICCID, Fleet: fleetName, State: api.Imported, Attributes: plain.Attributes},
		KeyVersion: plain.KeyVersion,
		Domain:     plain.Domain,
	}
	row.Keys, err = r.envelope.Seal(ctx, keysRecord(plain.ICCID), keys)
	return row, err
}

// refused turns what is wrong with a batch file into a refusal. Other errors, of the
// connection that the file comes through for example, stay what they are.
func refused(err error) error {
	var wrong *api.BatchError
	if errors.As(err, &wrong) {
		return refuse.BadRequest("%v; nothing of this file was imported", wrong)
	}
	return err
}
