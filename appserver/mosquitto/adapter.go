package mosquitto

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

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
	// Dir is where the files for the broker go; see [ConfigOptions.Dir]. It is created if
	// need be. Its path must be short: the name of a socket has at most 107 bytes.
	Dir string
	// PID finds the broker's process; see [PIDFile].
	PID func() (int, error)
	// PSK keeps a psk_file as well; see [ConfigOptions.PSKListen]. It needs the middleware's
	// SealingKey.
	PSK bool
	// Access are the broker's rules for devices, in the language of its acl_file. Empty:
	// every topic. The rules that bar SIMs are put after them.
	Access string

	Logger *slog.Logger // nil: [slog.Default]
}

// broker is the [beside.Server].
type broker struct {
	m       *appserver.Middleware
	psk     bool
	control string
	pid     func() (int, error)
	access  string
	log     *slog.Logger
}

// New returns a keeper for a broker. It does nothing yet.
func New(o Options) (*beside.Keeper, error) {
	if o.Middleware == nil || o.PID == nil || o.Dir == "" {
		return nil, errors.New("mosquitto: Options need Middleware, Platform, Dir and PID")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	control := filepath.Join(dir, controlSocket)
	if len(control) > 107 {
		return nil, fmt.Errorf("mosquitto: %s is too long for the name of a socket: choose a shorter directory", control)
	}
	if o.PSK {
		if _, err := o.Middleware.PSKConfig(nil); err != nil {
			return nil, fmt.Errorf("mosquitto: %w", err)
		}
	}
	if o.Access == "" {
		o.Access = anyTopic
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	b := &broker{m: o.Middleware, psk: o.PSK, control: control, pid: o.PID, access: o.Access, log: o.Logger}
	return beside.New(beside.Options{Middleware: o.Middleware, Platform: o.Platform, Dir: dir, Server: b, Logger: o.Logger})
}

// Concerns implements [beside.Server]: lists of PSKs name each.
func (b *broker) Concerns(c appserver.Change) bool { return b.psk && c.PSK }

// Reload implements [beside.Server]: on SIGHUP the broker reads all its files.
func (b *broker) Reload(_ context.Context, changed []string) error {
	if len(changed) == 0 {
		return nil
	}
	pid, err := b.pid()
	if err != nil {
		return err
	}
	if !catchesHangup(pid) {
		return fmt.Errorf("the broker (process %d) is still starting", pid)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal the broker (process %d): run as its user, or as root: %w", pid, err)
	}
	return nil
}

// End implements [beside.Server].
func (b *broker) End(ctx context.Context, iccid string) error {
	names := map[string]bool{}
	for _, s := range b.m.StandingsOf(iccid) {
		if s.Cut != nil {
			names[clientOf(s)] = true
		}
	}
	for name := range names {
		if err := b.end(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// EndAll implements [beside.Server].
func (b *broker) EndAll(ctx context.Context) error {
	names := map[string]bool{}
	for s := range b.m.Standings() {
		names[clientOf(s)] = true
	}
	for name := range names {
		if err := b.end(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// clientOf is the user name and client identifier that the broker gives a device: by the
// certificate's common name the ICCID, or the identity of its PSK.
func clientOf(s appserver.Standing) string {
	if s.PSKIdentity != "" {
		return s.PSKIdentity
	}
	return s.ICCID
}
