package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/twice"
)

// chunk is how many SIMs of a batch are written in one transaction: more would make others
// wait for it.
const chunk = 500

// knownError means that a SIM is there already.
type knownError struct{ iccid string }

func (e *knownError) Error() string { return fmt.Sprintf("SIM %s was imported before", e.iccid) }

func twiceError(iccid string) error { return fmt.Errorf("SIM %s stands twice in this file", iccid) }

// load is an import under way.
type load struct {
	registry  *Registry
	opener    *api.Opener
	key       string // its transport key, if that is for this batch only
	actor     string
	id, fleet string
	keepGood  bool
	now       time.Time
	numbers   *twice.List // of the SIMs, by line, of a dry run; nil: it is none

	progress // of the goroutine that writes
}

// progress is how far a load is.
type progress struct {
	batch  store.Batch
	begun  bool // the batch has a row
	errors []api.LineError
	last   []entry // read and not written yet
}

// entry is a SIM of a batch, as it is stored.
type entry struct {
	store.SIM
	enrolment []byte // hash of its one-time secret, if it has one
	sealed    api.BatchSIM
	line      int
	err       error // what is wrong with it
}

// run reads the file to its end. One chunk is read and its keys are moved into envelopes
// while the one before is written; the last one is left for finish.
func (l *load) run(ctx context.Context, file *api.BatchReader) error {
	work, ctx := errgroup.WithContext(ctx)
	chunks := make(chan []entry)
	work.Go(func() error {
		defer close(chunks)
		for {
			read, err := l.read(ctx, file)
			if err != nil && err != io.EOF {
				return err
			}
			select {
			case chunks <- read:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err == io.EOF {
				return nil
			}
		}
	})
	work.Go(func() error {
		for read := range chunks {
			if l.numbers != nil {
				if err := l.look(ctx, read); err != nil {
					return err
				}
				continue
			}
			if len(l.last) > 0 {
				if err := l.write(ctx); err != nil {
					return err
				}
			}
			l.last = read
		}
		return nil
	})
	return work.Wait()
}

// read reads the next chunk, and io.EOF with the last.
func (l *load) read(ctx context.Context, file *api.BatchReader) (read []entry, err error) {
	for len(read) < chunk && err == nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var e entry
		e.sealed, err = file.Next()
		e.line = file.Line()
		var wrong *api.BatchError
		if errors.As(err, &wrong) && !wrong.Final {
			e.err, err = wrong.Err, nil
		}
		if err == nil {
			read = append(read, e)
		}
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	var work errgroup.Group
	share := (len(read) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for rest := read; len(rest) > 0; rest = rest[min(share, len(rest)):] {
		part := rest[:min(share, len(rest))]
		work.Go(func() error {
			for i := range part {
				if err := l.open(ctx, &part[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if failed := work.Wait(); failed != nil {
		return nil, failed
	}
	return read, err
}

// open moves the keys of a SIM into an envelope, and clears them.
func (l *load) open(ctx context.Context, e *entry) error {
	if e.err != nil {
		return nil
	}
	plain, err := e.sealed.OpenWith(l.opener)
	if err != nil {
		e.err = err
		return nil
	}
	keys := bytes.Join([][]byte{plain.ENC, plain.MAC, plain.DEK}, nil)
	defer func() {
		for _, key := range [][]byte{keys, plain.ENC, plain.MAC, plain.DEK} {
			clear(key)
		}
	}()
	e.SIM = store.SIM{
		SIM: api.SIM{
			ICCID: plain.ICCID, Fleet: l.fleet, State: api.Imported, Attributes: plain.Attributes,
			Created: l.now, Updated: l.now,
		},
		KeyVersion: plain.KeyVersion, Domain: plain.Domain, Batch: l.id,
	}
	e.enrolment, e.sealed = plain.Enrolment, api.BatchSIM{}
	if l.numbers != nil {
		return nil
	}
	e.Keys, err = l.registry.envelope.Seal(ctx, keysRecord(plain.ICCID), keys)
	return err
}

// write writes the chunk that was read last.
func (l *load) write(ctx context.Context) error {
	return l.update(ctx, func(tx store.Tx) error { return l.put(tx, false) })
}

// update makes progress in a transaction, or none.
func (l *load) update(ctx context.Context, fn func(store.Tx) error) error {
	before := l.progress
	err := l.registry.store.Update(ctx, func(tx store.Tx) error {
		l.progress = before // it may be run again
		return fn(tx)
	})
	if err != nil {
		l.progress = before
	}
	return err
}

// put writes the chunk. SIMs that are put on the feed in the same transaction are told.
func (l *load) put(tx store.Tx, tell bool) error {
	l.batch.Updated = l.registry.now()
	if !l.begun {
		if err := tx.InsertBatch(l.batch); err != nil {
			return err
		}
		l.begun = true
	}
	var good []store.SIM
	for i := range l.last {
		if l.last[i].err == nil {
			good = append(good, l.last[i].SIM)
		}
	}
	made, err := tx.InsertSIMs(good)
	if err != nil {
		return err
	}
	fresh := make(map[string]bool, len(made)) // no line has accounted for them yet
	for _, iccid := range made {
		fresh[iccid] = true
	}
	for i := range l.last {
		if err := l.account(tx, &l.last[i], fresh, tell); err != nil {
			return err
		}
	}
	l.last = nil
	return tx.UpdateBatch(l.batch)
}

// account counts a line, and does what belongs to a SIM whose row was made.
func (l *load) account(tx store.Tx, e *entry, fresh map[string]bool, tell bool) error {
	switch {
	case e.err != nil:
		return l.reject(e, e.err)
	case !fresh[e.ICCID]:
		with, err := tx.BatchOf(e.ICCID)
		switch {
		case err != nil:
			return err
		case with == l.id:
			return l.reject(e, twiceError(e.ICCID))
		}
		return l.reject(e, &knownError{e.ICCID})
	}
	delete(fresh, e.ICCID)
	l.batch.Imported++
	if len(e.enrolment) > 0 {
		if err := tx.SetEnrolmentSecret(store.EnrolmentSecret{ICCID: e.ICCID, Hash: [32]byte(e.enrolment), Created: l.now}); err != nil {
			return err
		}
	}
	if tell {
		return feed.SIM(tx, l.now, e.SIM.SIM)
	}
	return nil
}

// reject leaves a line out, or ends the import.
func (l *load) reject(e *entry, why error) error {
	if !l.keepGood && l.numbers == nil {
		return &api.BatchError{Line: e.line, Err: why}
	}
	l.batch.Rejected++
	if len(l.errors) < api.MaxImportErrors {
		l.errors = append(l.errors, api.LineError{Line: e.line, Problem: why.Error()})
	}
	return nil
}

// finish writes the last chunk and makes the batch visible. One that has no other chunk is on the
// feed at once.
func (l *load) finish(ctx context.Context) error {
	return l.update(ctx, func(tx store.Tx) error {
		few := !l.begun
		l.batch.State = store.BatchAnnouncing
		if few {
			l.batch.State = store.BatchComplete
		}
		if err := l.put(tx, few); err != nil {
			return err
		}
		if err := l.useKey(tx); err != nil {
			return err
		}
		return imported(tx, l.now, l.actor, l.batch)
	})
}

// discard removes what was written.
func (l *load) discard(ctx context.Context) error {
	if !l.begun {
		return nil
	}
	return l.registry.discard(ctx, l.batch.ID)
}
