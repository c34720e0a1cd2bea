// Package platform is the security services platform: it puts the services together over
// one data directory and serves them.
//
// The directory holds everything that the platform must not lose. Its files, all private
// but ca.pem:
//
//	ca.pem        the trust anchor, to be given to clients
//	ca/           the keys of the CA; which ones count is in the database
//	keys/         the key-encryption key, the transport key, the key of the server
//	platform.db   the database (SQLite)
//	platform.id   in its place, which platform's rows are in the PostgreSQL database that
//	              [Options] name
//
// A platform on PostgreSQL may be served by several processes, each with a copy of the directory.
package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/appservers"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/campaign"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/est"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/httpapi"
	"github.com/simroot/simroot/internal/platform/idempotency"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/metrics"
	"github.com/simroot/simroot/internal/platform/node"
	"github.com/simroot/simroot/internal/platform/ocsp"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/internal/platform/relay"
	"github.com/simroot/simroot/internal/platform/rollover"
	"github.com/simroot/simroot/internal/platform/servers"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/token"
)

// Options configures a platform.
type Options struct {
	// Names are further DNS names and IP addresses that the platform's own TLS
	// certificate is good for, besides those of this machine.
	Names []string
	// PublicURL is where the outside reaches the platform, such as http://pki.example.org. Certificates then
	// say where their revocation is found; see [Platform.ServePlain]. It is remembered: empty means the last
	// one, and at first none. Certificates issued under an earlier one go on naming that.
	PublicURL string
	// Limits bound what may be asked without a token; nil means [httpapi.DefaultLimits].
	Limits *httpapi.Limits
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Store is the connection string of a PostgreSQL database; "" means SQLite in the
	// directory. It may hold a password, and is in no log and no error.
	Store string
	// NodeAddress is where other nodes on the same PostgreSQL database reach this one,
	// HOST:PORT, port 0 for any. "" means that there are no others.
	NodeAddress string
	// Passphrase, if not empty, is what the key files in the directory are encrypted under.
	Passphrase []byte
	// KEK and CAKey are URIs of keys that are not in the directory, for [Init] only: the
	// key-encryption key, and the key of the issuing CA. "" means a file in the directory. A
	// key that a PKCS#11 token does not hold is made there.
	KEK, CAKey string
	// BatchKeysOnly refuses batches of SIMs that are sealed to the standing transport key: each then
	// needs a key of its own.
	BatchKeysOnly bool
	// Log receives the request log and what goes wrong inside; nil means nowhere.
	Log *slog.Logger

	opened *keyfile.Safe
}

func (o Options) withDefaults() Options {
	safe := o.safe()
	o.opened = &safe
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Limits == nil {
		limits := httpapi.DefaultLimits()
		o.Limits = &limits
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// safe keeps the key files.
func (o Options) safe() keyfile.Safe {
	if o.opened != nil {
		return *o.opened
	}
	return keyfile.NewSafe(o.Passphrase)
}

// Platform is an open platform.
type Platform struct {
	options     Options
	store       store.Store
	secrets     *secrets
	sims        *registry.Registry
	life        *credential.Life
	campaigns   *campaign.Campaigns
	answers     *idempotency.Answers
	rollover    *rollover.Rollover
	dir         folder
	metrics     *metrics.Metrics
	authority   *ca.CA
	relay       *relay.Relay
	server      *httpapi.Server
	certificate *serverCertificate
	trail       trail
	node        *node.Node // nil: there are no others
	close       func() error
}

// Open opens the platform in dir. It refuses key files that others than their owner may
// read, and a database that another process has open.
func Open(dir string, o Options) (*Platform, error) {
	if !Initialized(dir) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoPlatform)
	}
	p, err := open(folder(dir), o.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("open the platform in %s: %w", dir, err)
	}
	return p, nil
}

func open(dir folder, o Options) (*Platform, error) {
	if err := dir.checkKeys(); err != nil {
		return nil, err
	}
	secrets, err := openSecrets(dir, o)
	if err != nil {
		return nil, err
	}
	transportKey, err := registry.OpenTransportKey(dir.transportKey(), o.safe())
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	rows, err := openStore(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	p := &Platform{options: o, dir: dir, store: idempotency.Joining(rows), secrets: secrets}
	p.close = sync.OnceValue(func() error {
		if p.relay != nil {
			p.relay.Close()
		}
		return rows.Close()
	})
	if p.authority, err = ca.Open(ctx, rows, dir.ca(), ca.Keys{Safe: o.safe()}); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.publish(ctx, dir); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.assemble(ctx, transportKey); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// publish brings out what the outside sees of the platform's identity: where it is reached, who it is, and
// the head of its audit log.
func (p *Platform) publish(ctx context.Context, dir folder) error {
	urls, err := publicURLs(ctx, p.store, p.options.PublicURL)
	if err != nil {
		return err
	}
	p.authority.Publish(urls...)
	if p.certificate, err = openServerCertificate(dir, p.store, p.authority, p.options); err != nil {
		return err
	}
	if err := p.followCAs(ctx); err != nil {
		return err
	}
	p.trail, err = openTrail(dir, p.options.safe(), audit.New(p.store, p.options.Clock))
	return err
}

// assemble makes the services and gives them to each other.
func (p *Platform) assemble(ctx context.Context, transportKey []byte) error {
	clock, secrets, authority := p.options.Clock, p.secrets.envelope, p.authority
	p.answers = idempotency.New(p.store, secrets, clock)
	sims, err := registry.New(p.store, secrets, transportKey, clock)
	if err != nil {
		return err
	}
	if p.options.BatchKeysOnly {
		sims.BatchKeysOnly()
	}
	p.sims = sims
	changes, err := feed.New(ctx, p.store)
	if err != nil {
		return err
	}
	p.campaigns = campaign.New(campaign.Options{Store: p.store, Anchors: func() string { return authority.OnSIM().Set }, Clock: clock})
	p.rollover = rollover.New(rollover.Options{Store: p.store, CA: authority, Clock: clock, Changed: func(ctx context.Context) error {
		return idempotency.After(ctx, p.followCAs)
	}})
	relayOptions := relay.Options{Registry: sims, Anchors: authority.OnSIM, Campaigns: p.campaigns, Clock: clock}
	if p.options.NodeAddress != "" {
		if p.node, err = node.New(node.Options{Store: p.store, Clock: clock, Log: p.options.Log}); err != nil {
			return err
		}
		relayOptions.Node = p.node.ID()
	}
	p.metrics = metrics.New(changes.Head, func() time.Time { return p.certificate.current.Load().Leaf.NotAfter })
	p.life = credential.New(p.store, secrets, authority, clock)
	relayOptions.Life = p.life
	p.relay = relay.New(relayOptions)
	var sessions node.Sessions = p.relay
	if p.node != nil {
		sessions = p.node.Relay(sessions)
	}
	p.server, err = httpapi.New(httpapi.Services{
		Registry:    sims,
		Credentials: p.life,
		Campaigns:   p.campaigns,
		Rollover:    p.rollover,
		Authority:   authority,
		CRL:         crl.New(p.store, authority, clock),
		Feed:        changes,
		Relay:       sessions,
		EST:         est.New(sims, p.life, authority, clock),
		Tokens:      token.New(p.store, clock),
		AppServers:  appservers.New(p.store, authority, clock),
		Answers:     p.answers,
		Limits:      *p.options.Limits,
		Watch:       p.metrics,
		KEKs:        func(ctx context.Context) (api.KEKStatus, error) { return p.secrets.status(ctx, p.store) },
		OCSP:        ocsp.New(p.store, authority, clock),
		Servers:     servers.New(p.store, authority, clock),
		Audit:       p.trail,
		Health:      p.health,
	}, p.options.Log)
	return err
}

// health tells whether the database can be read.
func (p *Platform) health(ctx context.Context) error {
	return p.store.View(ctx, func(tx store.Tx) error {
		_, err := tx.Revision()
		return err
	})
}

// Serve answers requests on l, over TLS with the platform's certificate, until ctx ends; it
// then ends the feeds, lets the other requests finish, and closes l.
func (p *Platform) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var jobs sync.WaitGroup
	defer jobs.Wait()
	defer cancel()
	if p.node != nil {
		other, err := net.Listen("tcp", p.options.NodeAddress)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		jobs.Go(func() {
			if err := p.node.Serve(ctx, other); err != nil && ctx.Err() == nil {
				p.options.Log.ErrorContext(ctx, "this node serves no more", "error", err)
				cancel()
			}
		})
	}
	jobs.Go(func() { p.work(ctx) })
	until, end := context.WithCancel(context.WithoutCancel(ctx)) // the last request is served
	defer end()
	jobs.Go(func() { p.trail.work(until, p.options.Log) })
	jobs.Go(func() { p.watchCAs(ctx) })
	jobs.Go(func() { p.secrets.work(ctx, p.store) })
	jobs.Go(func() { p.sims.Work(ctx, p.options.Log, p.options.Store == "") })
	return p.server.Serve(ctx, l, &tls.Config{
		GetCertificate: p.certificate.get,
		// A certificate is asked of everyone and demanded of nobody: who looks at it checks it.
		ClientAuth: tls.RequestClientCert,
	})
}

// ServePlain answers requests on l without TLS until ctx ends, and closes l. It serves revocation lists, OCSP and
// CA certificates only, all of which are signed: who checks a certificate cannot first check another one.
func (p *Platform) ServePlain(ctx context.Context, l net.Listener) error {
	return p.server.ServePlain(ctx, l)
}

// Close releases what the platform holds open. It comes after Serve has returned; closing
// again is harmless.
func (p *Platform) Close() error { return p.close() }
