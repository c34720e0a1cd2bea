package audit

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// pageSize is how many entries are checked in one view.
const pageSize = 1000

// Keeper follows the chain of entries and keeps its head outside of the database, signed. Whoever writes to
// the database can alter, remove or move entries, and compute all hashes anew; the entry at the head's number is then
// another, or none. What they do to entries after the head is not noticed, so the head is moved on often.
// It is safe for concurrent use.
type Keeper struct {
	store store.Store
	now   func() time.Time
	key   crypto.Signer
	write func(head []byte) error

	mu   sync.Mutex
	head api.AuditHead
}

// OpenKeeper reads the head in file, which is missing at first, and checks its signature. Write
// replaces the file in one step.
func OpenKeeper(l *Log, file string, key crypto.Signer, write func([]byte) error) (*Keeper, error) {
	k := &Keeper{store: l.store, now: l.now, key: key, write: write}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := json.Unmarshal(text, &k.head); err != nil {
		return nil, fmt.Errorf("audit: %s: %w", file, err)
	}
	if err := k.Signed(k.head); err != nil {
		return nil, fmt.Errorf("audit: %s: %w", file, err)
	}
	return k, nil
}

// Signed tells whether a head was signed with the keeper's key.
func (k *Keeper) Signed(h api.AuditHead) error {
	digest := h.Digest()
	if key, ok := k.key.Public().(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(key, digest[:], h.Signature) {
		return fmt.Errorf("%w: the head of entry %d was not signed by this platform's audit key", api.ErrAuditBroken, h.Seq)
	}
	return nil
}

// Head is the head that was kept last.
func (k *Keeper) Head() api.AuditHead {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.head
}

// Advance moves the head to the last entry, after it has followed the chain from where the head was. It
// fails with [api.ErrAuditBroken], and the head stays, if the chain does not lead on.
func (k *Keeper) Advance(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := follow(ctx, k.store, k.head)
	if err != nil || next.Seq == k.head.Seq {
		return err
	}
	next.Time = k.now().UTC().Truncate(time.Microsecond)
	digest := next.Digest()
	if next.Signature, err = k.key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
		return fmt.Errorf("audit: sign the head: %w", err)
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := k.write(append(text, '\n')); err != nil {
		return fmt.Errorf("audit: keep the head: %w", err)
	}
	k.head = next
	return nil
}

// Verify checks all entries from the first one on, and that those of the kept head and of the given
// heads are among them. It returns the last entry.
func (k *Keeper) Verify(ctx context.Context, kept ...api.AuditHead) (api.AuditHead, error) {
	check := api.NewAuditCheck(append(kept, k.Head())...)
	err := entries(ctx, k.store, 0, check.Next)
	if err == nil {
		err = check.End()
	}
	return check.Head(), err
}

// follow checks that the head's entry is there and as it was, and returns the head of the last one.
func follow(ctx context.Context, s store.Store, from api.AuditHead) (api.AuditHead, error) {
	head, met := from, from.Seq == 0
	err := entries(ctx, s, max(0, from.Seq-1), func(e api.AuditEntry) error {
		if !met {
			if met = e.Seq == from.Seq && e.Hash == from.Hash; !met {
				return fmt.Errorf("%w: entry %d is not the one whose head was kept", api.ErrAuditBroken, from.Seq)
			}
			return nil
		}
		return head.Follow(e)
	})
	if err == nil && !met {
		err = fmt.Errorf("%w: it ends before entry %d, which was there", api.ErrAuditBroken, from.Seq)
	}
	return head, err
}

// entries calls fn with every entry after a number.
func entries(ctx context.Context, s store.Store, after int64, fn func(api.AuditEntry) error) error {
	for {
		var page []api.AuditEntry
		if err := s.View(ctx, func(tx store.Tx) (err error) {
			page, err = tx.Audit(after, pageSize)
			return err
		}); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, e := range page {
			if err := fn(e); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Seq
	}
}
