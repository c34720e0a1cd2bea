package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/token"
)

// ErrNotEmpty: the folder holds something, and nothing is ever initialised over it.
var ErrNotEmpty = errors.New("the folder is not empty")

// Init makes a platform in dir, which it creates with mode 0700, and returns the first
// admin token. The token is shown this once. A directory that holds anything is refused.
func Init(dir string, o Options) (secret string, err error) {
	if err := checkStore(context.Background(), o); err != nil {
		return "", fmt.Errorf("initialise a platform in %s: %w", dir, err)
	}
	if err := claim(dir); err != nil {
		return "", err
	}
	secret, err = initialize(folder(dir), o.withDefaults())
	if err != nil {
		return "", fmt.Errorf("initialise a platform in %s: %w", dir, err)
	}
	return secret, nil
}

// claim makes an empty folder that is private.
func claim(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.MkdirAll(dir, 0o700)
	case err != nil:
		return err
	case Initialized(dir):
		return fmt.Errorf("%s: %w: it holds a platform, whose keys cannot be made again; open it, or take another folder", dir, ErrNotEmpty)
	case len(entries) > 0:
		return fmt.Errorf("%s: %w and holds no complete platform, perhaps because an initialisation was interrupted; empty it, or take another folder", dir, ErrNotEmpty)
	}
	return os.Chmod(dir, 0o700)
}

// NewAdminToken makes another admin token with the platform's folder in hand: for an
// operator whose tokens have all expired or are lost. No other process may serve the
// platform meanwhile.
func NewAdminToken(dir string, o Options) (secret string, err error) {
	p, err := Open(dir, o)
	if err != nil {
		return "", err
	}
	secret, err = createAdmin(p.store, p.options.Clock, "admin made in the folder")
	return secret, errors.Join(err, p.Close())
}

func createAdmin(rows store.Store, clock func() time.Time, name string) (secret string, err error) {
	created, err := token.New(rows, clock).Create(context.Background(), "folder", api.TokenRequest{Name: name, Role: api.RoleAdmin})
	return created.Secret, err
}

// initializeKEK makes the first key-encryption key, or takes the one that the options name.
func initializeKEK(dir folder, o Options) error {
	if o.KEK == "" {
		_, err := envelope.CreateFileKEK(dir.kek(), o.safe())
		return err
	}
	if _, err := openKEK(context.Background(), dir, o.safe(), o.KEK, true); err != nil {
		return err
	}
	return writeKEKs(dir, []string{o.KEK})
}

func initialize(dir folder, o Options) (secret string, err error) {
	if err := os.Mkdir(dir.keys(), 0o700); err != nil {
		return "", err
	}
	if err := initializeKEK(dir, o); err != nil {
		return "", err
	}
	if err := registry.CreateTransportKey(dir.transportKey(), o.safe()); err != nil {
		return "", err
	}
	if err := ca.Init(dir.ca(), ca.Keys{Safe: o.safe(), Issuing: o.CAKey}); err != nil {
		return "", err
	}
	if err := errors.Join(createKey(dir.serverKey(), o.safe()), createKey(dir.auditKey(), o.safe())); err != nil {
		return "", err
	}
	rows, err := createStore(context.Background(), dir, o)
	if err != nil {
		return "", err
	}
	secret, anchors, err := initializeRows(dir, rows, o)
	if err := errors.Join(err, rows.Close()); err != nil {
		return "", err
	}
	// From here on the platform is complete: see Initialized.
	return secret, replace(dir.anchors(), anchors)
}

// initializeRows makes the first rows, and what needs them.
func initializeRows(dir folder, rows store.Store, o Options) (secret string, anchors []byte, err error) {
	authority, err := ca.Open(context.Background(), rows, dir.ca(), ca.Keys{Safe: o.safe()})
	if err != nil {
		return "", nil, err
	}
	if _, err := openServerCertificate(dir, rows, authority, o); err != nil {
		return "", nil, err
	}
	secret, err = createAdmin(rows, o.Clock, "first admin")
	return secret, authority.Anchors(), err
}
