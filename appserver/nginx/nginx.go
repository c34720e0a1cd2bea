package nginx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/beside"
)

// Options configures [New].
type Options struct {
	// Middleware tells what is accepted.
	Middleware *appserver.Middleware
	// Platform gives the CA certificates and the CRLs.
	Platform *api.Client
	// Dir is where the files for nginx go; see [ConfigOptions.Dir]. It is created if need be.
	Dir string
	// Reload is the command that has nginx read its files, which must fail if its configuration is
	// wrong. nil: nginx -s reload.
	Reload []string

	Logger *slog.Logger // nil: [slog.Default]
}

// The files in the adapter's directory.
const (
	caFile  = "ca.crt"  // trust anchors and issuing CAs
	crlFile = "crl.pem" // what they have revoked
)

const (
	// reloadEvery is the least time between two reloads.
	reloadEvery = 10 * time.Second
	// reloadTimeout bounds one.
	reloadTimeout = 10 * time.Second
)

// server is the [beside.Server].
type server struct {
	command  []string
	reloaded time.Time
}

// New returns a keeper for nginx. It does nothing yet.
func New(o Options) (*beside.Keeper, error) {
	if o.Middleware == nil || o.Dir == "" {
		return nil, errors.New("nginx: Options need Middleware, Platform and Dir")
	}
	if len(o.Reload) == 0 {
		o.Reload = []string{"nginx", "-s", "reload"}
	}
	s := &server{command: o.Reload}
	return beside.New(beside.Options{Middleware: o.Middleware, Platform: o.Platform, Dir: o.Dir, Server: s, Logger: o.Logger})
}

// Concerns implements [beside.Server].
func (s *server) Concerns(appserver.Change) bool { return false }

// Files implements [beside.Server].
func (s *server) Files(state beside.State) (files []beside.File, err error) {
	trusted, err := state.Trusted()
	if trusted != nil {
		files = append(files, beside.File{Name: caFile, Content: trusted})
	}
	if state.CRLs != nil {
		if failed := beside.WholeChain(state.CAs, state.CRLs); failed != nil {
			return files, errors.Join(err, failed)
		}
		files = append(files, beside.File{Name: crlFile, Content: state.CRLs})
	}
	return files, err
}

// Reload implements [beside.Server]. nginx checks its configuration first, and goes on with what it has if
// that is wrong.
func (s *server) Reload(ctx context.Context, changed []string) error {
	if len(changed) == 0 {
		return nil
	}
	if time.Since(s.reloaded) < reloadEvery {
		return beside.ErrLater
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.command[0], s.command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("nginx goes on with the old files: %s: %w: %s", strings.Join(s.command, " "), err, strings.TrimSpace(string(out)))
	}
	s.reloaded = time.Now()
	return nil
}

// End implements [beside.Server]: the next request is refused, and nginx ends no connection.
func (s *server) End(context.Context, string) error { return nil }

// EndAll implements [beside.Server].
func (s *server) EndAll(context.Context) error { return nil }
