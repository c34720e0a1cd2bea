package natscallout

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/beside"
)

// Options configures [New].
type Options struct {
	// Middleware tells what is accepted.
	Middleware *appserver.Middleware
	// Platform gives the CA certificates.
	Platform *api.Client
	// URL is where the servers are, tls://HOST:PORT; several with commas between.
	URL string
	// Dir holds the keys of [MakeKeys], and the CA certificates for the server. It
	// belongs to one process at a time.
	Dir string
	// RootCAs are the issuers of the servers' own certificates; nil: the platform's.
	RootCAs *x509.CertPool
	// TLSFirst begins with TLS; see [ConfigOptions.TLSFirst].
	TLSFirst bool
	// Account is the account that SIMs are put into; empty: [DefaultAccount].
	Account string
	// Permissions are what SIMs may do; zero: [DefaultPermissions].
	Permissions Permissions

	Logger *slog.Logger // nil: [slog.Default]
}

// Callout lets SIMs into one server or cluster.
type Callout struct {
	m           *appserver.Middleware
	url         string
	dir         string
	roots       *x509.CertPool
	account     string
	permissions Permissions
	tlsFirst    bool
	log         *slog.Logger

	issuer, own, curve nkeys.KeyPair
	local              tls.Certificate
	localPrint         appserver.Fingerprint
	files              *beside.Keeper
	sessions           *sessions
	conn               *nats.Conn
	connected          chan struct{} // to NATS, now or again
}

// New reads the keys in o.Dir. It does nothing yet.
func New(o Options) (*Callout, error) {
	if o.Middleware == nil || o.Platform == nil || o.URL == "" || o.Dir == "" {
		return nil, errors.New("natscallout: Options need Middleware, Platform, URL and Dir")
	}
	if o.Account == "" {
		o.Account = DefaultAccount
	}
	if len(o.Permissions.Publish) == 0 && len(o.Permissions.Subscribe) == 0 {
		o.Permissions = DefaultPermissions()
	}
	if err := o.Permissions.Check(); err != nil {
		return nil, fmt.Errorf("natscallout: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	c := &Callout{
		m: o.Middleware, url: o.URL, dir: o.Dir, roots: o.RootCAs, account: o.Account, permissions: o.Permissions, tlsFirst: o.TLSFirst, log: o.Logger,
		sessions: newSessions(o.Middleware), connected: make(chan struct{}, 1),
	}
	if err := c.readKeys(); err != nil {
		return nil, fmt.Errorf("natscallout: make the keys with \"simroot appserver nats-config\" first: %w", err)
	}
	var err error
	c.files, err = beside.New(beside.Options{Middleware: o.Middleware, Platform: o.Platform, Dir: o.Dir, Server: (*files)(c), Logger: o.Logger})
	return c, err
}

func (c *Callout) readKeys() (err error) {
	folder := filepath.Join(c.dir, keysDir)
	for file, pair := range map[string]*nkeys.KeyPair{issuerFile: &c.issuer, calloutFile: &c.own, curveFile: &c.curve} {
		if *pair, err = readSeed(filepath.Join(folder, file)); err != nil {
			return err
		}
	}
	c.local, err = tls.LoadX509KeyPair(filepath.Join(folder, localCert), filepath.Join(folder, localKey))
	if err == nil {
		c.localPrint = sha256.Sum256(c.local.Certificate[0])
	}
	return err
}

// Prepare writes the CA certificates without which the server does not start. It waits until the
// middleware has caught up with the platform.
func (c *Callout) Prepare(ctx context.Context) error { return c.files.Prepare(ctx) }

// listEvery is how often the sessions that there are are gone through though nothing has broken.
const listEvery = 10 * time.Minute

// answersAtOnce is how many requests are answered at a time: each is work for a core, and after a start of the
// server all devices come at once.
var answersAtOnce = 2 * runtime.GOMAXPROCS(0)

// retryAfter is the wait after a failure.
const retryAfter = time.Second

// Run answers the server until ctx ends, whose cause it returns. The server may start, stop and
// start again meanwhile.
func (c *Callout) Run(ctx context.Context) error {
	if err := c.m.Ready(ctx); err != nil { // the CA certificates are known then
		return err
	}
	closed := make(chan struct{})
	conn, err := c.connect(closed)
	if err != nil {
		return fmt.Errorf("natscallout: %w", err)
	}
	c.conn = conn
	defer conn.Close()
	answering := make(chan struct{}, answersAtOnce)
	_, err = conn.Subscribe(requestSubject, func(request *nats.Msg) {
		answering <- struct{}{}
		go func() {
			defer func() { <-answering }()
			c.take(request)
		}()
	})
	if err != nil {
		return err
	}
	if _, err := conn.Subscribe("$SYS.ACCOUNT.*.DISCONNECT", c.gone); err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return c.files.Run(running) })
	group.Go(func() error { return c.follow(running) })
	group.Go(func() error { return c.finish(running) })
	group.Go(func() error {
		select {
		case <-running.Done():
			return nil
		case <-closed:
			return fmt.Errorf("natscallout: the connection to %s was given up: %w", c.url, conn.LastError())
		}
	})
	err = group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// connect connects for as long as it takes.
func (c *Callout) connect(closed chan<- struct{}) (*nats.Conn, error) {
	public, err := c.own.PublicKey()
	if err != nil {
		return nil, err
	}
	roots := func() (*x509.CertPool, error) {
		if c.roots != nil {
			return c.roots, nil
		}
		return c.m.ClientCAs(), nil // as of now
	}
	up := func(*nats.Conn) {
		c.log.Info("connected to NATS", "url", c.url)
		select {
		case c.connected <- struct{}{}:
		default:
		}
	}
	options := []nats.Option{
		nats.Name("simroot appserver"), nats.Nkey(public, c.own.Sign),
		nats.ClientTLSConfig(func() (tls.Certificate, error) { return c.local, nil }, roots),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(retryAfter), nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(up), nats.ReconnectHandler(up),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.log.Error("the connection to NATS has ended; nobody new is let in until it is back", "url", c.url, "error", err)
			}
		}),
		nats.ReconnectErrHandler(c.sayOnce()),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.log.Error("NATS", "error", err) }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
	}
	if c.tlsFirst {
		options = append(options, nats.TLSHandshakeFirst())
	}
	return nats.Connect(c.url, options...)
}

// sayOnce tells why there is no connection when that changes.
func (c *Callout) sayOnce() nats.ConnErrHandler {
	var said string
	return func(_ *nats.Conn, err error) {
		if err != nil && err.Error() != said {
			said = err.Error()
			c.log.Error("NATS cannot be reached; trying on", "url", c.url, "error", err)
		}
	}
}

// gone takes up that a client has left.
func (c *Callout) gone(message *nats.Msg) {
	var event struct {
		Server struct {
			ID string `json:"id"`
		} `json:"server"`
		Client struct {
			ID uint64 `json:"id"`
		} `json:"client"`
	}
	if json.Unmarshal(message.Data, &event) == nil {
		c.sessions.ended(session{event.Server.ID, event.Client.ID})
	}
}

// follow takes up the sessions that there are, when connected and now and then.
func (c *Callout) follow(ctx context.Context) error {
	timer := time.NewTimer(listEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.connected:
		case <-timer.C:
		}
		wait := listEvery
		if c.conn.IsConnected() {
			if err := c.list(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("the sessions that NATS has cannot be listed; trying again", "error", err)
				wait = retryAfter
			}
		}
		timer.Reset(wait)
	}
}

// finish ends sessions.
func (c *Callout) finish(ctx context.Context) error {
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.sessions.wake:
		}
		for due := c.sessions.due(); len(due) > 0; due = c.sessions.due() {
			var failed error
			for name, reason := range due {
				if err := c.kick(ctx, name); err != nil {
					failed = err
					continue
				}
				c.sessions.ended(name)
				c.log.Info("a session was ended", "server", name.server, "client", name.client, "reason", reason)
			}
			if failed == nil {
				failing = ""
				break
			}
			if failed.Error() != failing && ctx.Err() == nil {
				failing = failed.Error()
				c.log.Error("a session cannot be ended; trying on", "error", failed)
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(retryAfter):
			}
		}
	}
}

// files is a Callout as the [beside.Server] whose files are kept current. Sessions are ended by
// the callout itself.
type files Callout

// Files implements [beside.Server].
func (f *files) Files(s beside.State) ([]beside.File, error) {
	if s.CAs == nil {
		return nil, nil
	}
	local, err := os.ReadFile(filepath.Join(f.dir, keysDir, localCert))
	if err != nil {
		return nil, err
	}
	return []beside.File{{Name: caFile, Content: append(append([]byte(nil), s.CAs...), local...)}}, nil
}

// Reload implements [beside.Server].
func (f *files) Reload(ctx context.Context, _ []string) error {
	c := (*Callout)(f)
	info, err := os.Stat(filepath.Join(c.dir, caFile))
	if err != nil {
		return err
	}
	servers, err := c.servers(ctx)
	if err != nil {
		return err
	}
	for _, server := range servers {
		if err := c.reload(ctx, server, info.ModTime()); err != nil {
			return err
		}
	}
	return nil
}

// End implements [beside.Server].
func (f *files) End(context.Context, string) error { return nil }

// EndAll implements [beside.Server].
func (f *files) EndAll(context.Context) error { return nil }

// Concerns implements [beside.Server].
func (f *files) Concerns(appserver.Change) bool { return false }
