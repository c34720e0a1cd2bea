package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// line is the CAs that count, as the rows of the store had them at a step: the one that issues, the one that is
// to follow it, and the one before it, until nothing depends on it any more. There are never more than two.
type line struct {
	step                  int64
	rows                  []store.CA
	issuing, next, before *generation
}

func (l *line) all() (all []*generation) {
	if l == nil {
		return nil
	}
	for _, g := range []*generation{l.issuing, l.next, l.before} {
		if g != nil {
			all = append(all, g)
		}
	}
	return all
}

// lacking tells which keys are not here.
func (l *line) lacking() (err error) {
	for _, g := range l.all() {
		err = errors.Join(err, g.lacks)
	}
	return err
}

// ErrMoved: another CA may be the one that issues, since what is to be stored was made. See [CA.Again].
var ErrMoved error = refuse.With(api.CodeInternal, http.StatusServiceUnavailable, "the platform's CAs have just changed: ask again")

// on tells whether the line is at a step still, as a transaction sees it.
func on(tx store.Tx, step int64) error {
	now, err := tx.CAStep()
	if err == nil && now != step {
		err = ErrMoved
	}
	return err
}

// Again does something, and if that was too late for the line of CAs as it was ([ErrMoved]), once more.
func (c *CA) Again(ctx context.Context, do func() error) error {
	err := do()
	if !errors.Is(err, ErrMoved) {
		return err
	}
	if err := c.Refresh(ctx); err != nil {
		return err
	}
	return do()
}

// Lacking tells which keys of the CAs this node lacks, and what to do; nil if it has all of them. Until it has, such
// a CA signs nothing here.
func (c *CA) Lacking() error { return c.line.Load().lacking() }

// Refresh takes over what has become of the line of CAs, on whichever node. Keys that this node lacks are looked
// for anew.
func (c *CA) Refresh(ctx context.Context) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	old := c.line.Load()
	l := &line{}
	err := c.store.View(ctx, func(tx store.Tx) (err error) {
		if l.step, err = tx.CAStep(); err == nil && (old == nil || l.step != old.step) {
			l.rows, err = tx.CAs()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ca: read the line of CAs: %w", err)
	}
	if old != nil && l.step == old.step {
		if old.lacking() == nil {
			return nil
		}
		l.rows = old.rows
	}
	if err := c.fill(l, old); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	c.line.Store(l)
	return c.destroyAborted(l.rows)
}

// fill makes the generations of a line's rows, those that were there before not anew.
func (c *CA) fill(l, old *line) (err error) {
	places := map[store.CAState]**generation{store.CAIssuing: &l.issuing, store.CANext: &l.next, store.CABefore: &l.before}
	for _, row := range l.rows {
		if !row.State.InLine() {
			continue
		}
		g := old.find(row)
		if g == nil {
			if g, err = newGeneration(row); err != nil {
				return fmt.Errorf("CA %d: %w", row.Number, err)
			}
		}
		*places[row.State] = c.withKey(g)
	}
	if l.issuing == nil {
		return errors.New("the database names no issuing CA")
	}
	return nil
}

// find returns the generation of a row, if it is there.
func (l *line) find(row store.CA) *generation {
	for _, g := range l.all() {
		if g.number == row.Number && bytes.Equal(g.root.Raw, row.Root) && bytes.Equal(g.issuer.Raw, row.Issuer) {
			return g
		}
	}
	return nil
}

// destroyAborted removes the keys of CAs that were given up.
func (c *CA) destroyAborted(rows []store.CA) (err error) {
	for _, row := range rows {
		folder := c.folder(row.Number)
		if row.State != store.CAAborted || folder == c.dir {
			continue
		}
		issuer, readErr := readCertificate(filepath.Join(folder, issuingFile))
		switch {
		case errors.Is(readErr, fs.ErrNotExist): // gone, or never here
		case readErr != nil:
			err = errors.Join(err, readErr)
		case bytes.Equal(issuer.Raw, row.Issuer):
			err = errors.Join(err, c.destroy(folder))
		}
	}
	return err
}

// destroy removes a folder, all of it also if it is cut: see [Open].
func (c *CA) destroy(folder string) error {
	going := filepath.Join(c.dir, unplaced+filepath.Base(folder))
	if err := os.RemoveAll(going); err != nil {
		return err
	}
	return errors.Join(os.Rename(folder, going), os.RemoveAll(going))
}

// folder is where the keys of a CA are kept: those of the first one in the CA's own folder.
func (c *CA) folder(number int) string {
	if number == 1 {
		return c.dir
	}
	return filepath.Join(c.dir, "g"+strconv.Itoa(number))
}

// newGeneration reads a row. It has no key yet.
func newGeneration(row store.CA) (g *generation, err error) {
	g = &generation{number: row.Number, rootCRL: row.RootCRL, moulds: &moulds{}}
	if g.root, err = x509.ParseCertificate(row.Root); err != nil {
		return nil, fmt.Errorf("its root: %w", err)
	}
	if g.issuer, err = x509.ParseCertificate(row.Issuer); err != nil {
		return nil, err
	}
	if err := g.issuer.CheckSignatureFrom(g.root); err != nil {
		return nil, fmt.Errorf("it is not signed by its root: %w", err)
	}
	if row.Cross != nil {
		if g.cross, err = x509.ParseCertificate(row.Cross); err != nil {
			return nil, fmt.Errorf("its root, as the one before has signed it: %w", err)
		}
	}
	g.linter, err = newLinter(g.issuer)
	return g, err
}
