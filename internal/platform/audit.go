package platform

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/keyfile"
)

// trail is the audit log with the head that is kept outside of the database.
type trail struct {
	*audit.Log
	keeper *audit.Keeper
}

// Head implements the httpapi's view of the log. It is that of the last entry, unless the chain does
// not lead there: the head stays then, and the log tells why every minute.
func (t trail) Head(ctx context.Context) (api.AuditHead, error) {
	if err := t.keeper.Advance(ctx); err != nil && !errors.Is(err, api.ErrAuditBroken) {
		return api.AuditHead{}, err
	}
	return t.keeper.Head(), nil
}

// headInterval is how often the head is moved on. What is done to entries that are younger is not noticed. A
// head, a signature and a synced file of its own, costs as much as eight commits (audit.BenchmarkHead), too
// much for one at each commit.
const headInterval = time.Second

// work moves the head on until ctx ends, and then to the last entry that there is.
func (t trail) work(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(headInterval)
	defer ticker.Stop()
	var said time.Time // when it was last said that it fails
	for ended := false; ; {
		err := t.keeper.Advance(context.WithoutCancel(ctx))
		if err != nil && time.Since(said) >= jobInterval {
			said = time.Now()
			log.ErrorContext(ctx, "check the audit log", "error", err)
		}
		if ended {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			ended = true
		}
	}
}

// openTrail reads the head that is kept in the folder. A folder of an earlier version gets its
// audit key now.
func openTrail(dir folder, safe keyfile.Safe, l *audit.Log) (trail, error) {
	key, err := auditKey(dir, safe)
	if err != nil {
		return trail{}, fmt.Errorf("the audit key: %w", err)
	}
	k, err := audit.OpenKeeper(l, dir.auditHead(), key, func(head []byte) error { return replace(dir.auditHead(), head) })
	return trail{l, k}, err
}

func auditKey(dir folder, safe keyfile.Safe) (*ecdsa.PrivateKey, error) {
	text, err := safe.Read(dir.auditKey())
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(dir.auditKey(), safe); err != nil {
			return nil, err
		}
		text, err = safe.Read(dir.auditKey())
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return parseKey(text)
}

// VerifyAudit checks the whole audit log of the platform in dir, against the head that lies there and those that
// the caller has kept. It needs the folder, and nobody else may have the database open.
func VerifyAudit(ctx context.Context, dir string, o Options, kept ...api.AuditHead) (head api.AuditHead, err error) {
	if !Initialized(dir) {
		return head, fmt.Errorf("%s: %w", dir, ErrNoPlatform)
	}
	o = o.withDefaults()
	rows, err := openStore(ctx, folder(dir), o)
	if err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	t, err := openTrail(folder(dir), o.safe(), audit.New(rows, o.Clock))
	if err != nil {
		return head, err
	}
	for _, k := range kept {
		if err := t.keeper.Signed(k); err != nil {
			return head, err
		}
	}
	return t.keeper.Verify(ctx, kept...)
}
