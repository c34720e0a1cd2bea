package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/twice"
)

// look does what write does, in a dry run: nothing is written that could tell which SIMs stand twice, so
// their numbers are kept until the end is read.
func (l *load) look(ctx context.Context, read []entry) error {
	if err := l.registry.store.View(ctx, func(tx store.Tx) error {
		for i := range read {
			e := &read[i]
			if e.err != nil {
				continue
			}
			switch _, err := tx.BatchOf(e.ICCID); {
			case err == nil:
				e.err = &knownError{e.ICCID}
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for i := range read {
		e := &read[i]
		if e.err != nil {
			if err := l.reject(e, e.err); err != nil {
				return err
			}
			continue
		}
		l.batch.Imported++
		if err := l.numbers.Add(card.ICCID(e.ICCID).File(), uint32(e.line)); err != nil {
			return err
		}
	}
	return nil
}

// lookTwice leaves out SIMs that stand in the file before.
func (l *load) lookTwice() error {
	byLine := func(a, b api.LineError) int { return cmp.Compare(a.Line, b.Line) }
	first := func() { // those that are told
		slices.SortFunc(l.errors, byLine)
		l.errors = l.errors[:min(len(l.errors), api.MaxImportErrors)]
	}
	var failed error
	err := l.numbers.Twice(func(number [twice.Size]byte, _, line uint32) {
		iccid, err := card.DecodeICCID(number[:])
		failed = errors.Join(failed, err)
		l.batch.Imported--
		l.batch.Rejected++
		l.errors = append(l.errors, api.LineError{Line: int(line), Problem: twiceError(string(iccid)).Error()})
		if len(l.errors) == 2*api.MaxImportErrors {
			first()
		}
	})
	first()
	return errors.Join(err, failed)
}
