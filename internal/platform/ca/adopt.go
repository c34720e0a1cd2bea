package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/store"
)

// lineFile is where earlier versions have kept the line. Without it, there is the first CA alone. It stays as it
// was, for backups of that time.
const lineFile = "line.json"

// storedLine is its content.
type storedLine struct {
	Issuing int       `json:"issuing"`
	Next    int       `json:"next"`
	Before  int       `json:"before"`
	Since   time.Time `json:"since"` // of Next or Before
	Until   time.Time `json:"until"` // of Before
}

// adopt brings the line of the folder into the store, if it has a CA of which the store does not know: that which
// [Init] has just made, or those of an earlier version.
func (c *CA) adopt(ctx context.Context) error {
	s := storedLine{Issuing: 1, Since: c.now()}
	text, err := os.ReadFile(filepath.Join(c.dir, lineFile))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", lineFile, err)
	}
	return c.store.Update(ctx, func(tx store.Tx) error {
		known, err := tx.CAs()
		if err != nil || len(known) > 0 && known[len(known)-1].Number >= max(s.Issuing, s.Next) {
			return err
		}
		for _, row := range known { // of a node whose folder was behind
			row.State = store.CARetired
			if err := tx.PutCA(row); err != nil {
				return err
			}
		}
		for _, in := range []struct {
			state  store.CAState
			number int
			until  time.Time
		}{{store.CABefore, s.Before, s.Until}, {store.CAIssuing, s.Issuing, time.Time{}}, {store.CANext, s.Next, time.Time{}}} {
			if in.number == 0 {
				continue
			}
			row, err := describe(c.folder(in.number), c.safe, in.number)
			if err != nil {
				return err
			}
			row.State, row.Since, row.Until = in.state, s.Since.UTC(), in.until.UTC()
			err = errors.Join(tx.PutCA(row), audit.Append(tx, api.AuditEntry{
				Time: c.now(), Actor: audit.Platform, Action: "ca.stored", Subject: row.Name, After: string(in.state),
			}))
			if err != nil {
				return err
			}
		}
		return nil
	})
}
