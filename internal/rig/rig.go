// Package rig puts a whole simroot together on one machine: a platform that serves on
// loopback, virtual SIMs that it knows, application servers that follow it. The
// demonstration, the laws and the benchmarks are played on it.
package rig

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/internal/issuer"
	"github.com/simroot/simroot/internal/platform"
	"github.com/simroot/simroot/internal/platform/httpapi"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

// Rig is a running platform.
type Rig struct {
	Dir   string      // the platform's data
	URL   string      // where it serves, until it is stopped
	Token string      // an admin's: the first one
	Admin *api.Client // with that token
	Agent *api.Client // without a token, as devices come

	options platform.Options
	cancel  context.CancelFunc
	served  chan error
	opened  *platform.Platform
	clients []*api.Client
}

// New initialises a platform in dir and serves it.
func New(dir string) (*Rig, error) { return NewOn(dir, platform.Options{}) }

// NewOn is [New] with options.
func NewOn(dir string, o platform.Options) (*Rig, error) {
	if o.Limits == nil {
		o.Limits = &httpapi.Limits{} // all devices of a rig come from one address
	}
	token, err := platform.Init(dir, o)
	if err != nil {
		return nil, err
	}
	r := &Rig{Dir: dir, Token: token, options: o}
	return r, r.Start()
}

// Beside serves the same platform, which must be on PostgreSQL, from a further node. It is stopped by itself.
func (r *Rig) Beside() (*Rig, error) {
	other := &Rig{Dir: r.Dir, Token: r.Token, options: r.options}
	return other, other.Start()
}

// Start serves the platform's data, on a new port.
func (r *Rig) Start() (err error) {
	if r.opened, err = platform.Open(r.Dir, r.options); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, r.opened.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.served = cancel, make(chan error, 1)
	go func(p *platform.Platform, served chan<- error) { served <- p.Serve(ctx, l) }(r.opened, r.served)
	r.URL = "https://" + l.Addr().String()
	if r.Admin, err = r.Client(r.Token); err != nil {
		return errors.Join(err, r.Stop())
	}
	r.Agent, err = r.Client("")
	return err
}

// Stop ends the platform; it may be started again. Stopping twice is harmless.
func (r *Rig) Stop() error {
	if r.opened == nil {
		return nil
	}
	for _, c := range r.clients {
		c.Close()
	}
	r.clients = nil
	r.cancel()
	err := errors.Join(<-r.served, r.opened.Close())
	r.opened = nil
	return err
}

// ServeAdmin serves the platform's metrics and readiness on l until ctx ends.
func (r *Rig) ServeAdmin(ctx context.Context, l net.Listener) error {
	return r.opened.ServeAdmin(ctx, l)
}

// Client returns a client with the given token, which is closed when the rig stops.
func (r *Rig) Client(token string) (*api.Client, error) {
	roots, err := api.LoadRoots(r.TrustAnchor())
	if err != nil {
		return nil, err
	}
	c, err := api.NewClient(r.URL, api.ClientOptions{Token: token, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	r.clients = append(r.clients, c)
	return c, nil
}

// TrustAnchor is the file with the platform's trust anchor.
func (r *Rig) TrustAnchor() string { return filepath.Join(r.Dir, "ca.pem") }

// Fleet creates a fleet.
func (r *Rig) Fleet(ctx context.Context, name string, p api.Profile) error {
	_, err := r.Admin.CreateFleet(ctx, api.Fleet{Name: name, Profile: p.WithDefaults()})
	return err
}

// SIMs makes virtual SIMs after a card profile and imports their keys into a fleet.
func (r *Rig) SIMs(ctx context.Context, fleet, profile string, iccids ...string) ([]image.State, error) {
	key, err := r.Admin.TransportKey(ctx)
	if err != nil {
		return nil, err
	}
	var batch bytes.Buffer
	writer, err := api.NewBatchWriter(&batch, key.Key)
	if err != nil {
		return nil, err
	}
	states := make([]image.State, len(iccids))
	for i, iccid := range iccids {
		if states[i], err = vsim.Profile(profile, iccid); err != nil {
			return nil, err
		}
		if err := writer.Add(issuer.BatchEntry(states[i])); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	_, err = r.Admin.Import(ctx, fleet, &batch)
	return states, err
}

// Middleware starts an application server's middleware that follows the platform, with
// its replica in dir, and waits until it has caught up. The caller closes it.
func (r *Rig) Middleware(ctx context.Context, dir string, with ...func(*appserver.Options)) (*appserver.Middleware, error) {
	m, err := r.OpenMiddleware(ctx, dir, with...)
	if err != nil {
		return nil, err
	}
	if err := m.Ready(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// OpenMiddleware is Middleware without the waiting.
func (r *Rig) OpenMiddleware(ctx context.Context, dir string, with ...func(*appserver.Options)) (*appserver.Middleware, error) {
	private, public, err := api.GenerateSealKey()
	if err != nil {
		return nil, err
	}
	token, err := r.Admin.CreateToken(ctx, api.TokenRequest{Name: "application server", Role: api.RoleAppServer, SealingKey: public})
	if err != nil {
		return nil, err
	}
	client, err := r.Client(token.Secret)
	if err != nil {
		return nil, err
	}
	o := appserver.Options{Platform: client, Dir: dir, SealingKey: private, Logger: slog.New(slog.DiscardHandler)}
	for _, set := range with {
		set(&o)
	}
	return appserver.Open(ctx, o)
}

// ServerCertificate has the platform certify a fresh key for the given names.
func (r *Rig) ServerCertificate(ctx context.Context, names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	made, err := r.Admin.RequestServerCertificate(ctx, api.ServerRequest{Names: names, CSR: csr})
	if err != nil {
		return tls.Certificate{}, err
	}
	out := tls.Certificate{PrivateKey: key}
	for block, rest := pem.Decode([]byte(made.Chain)); block != nil; block, rest = pem.Decode(rest) {
		out.Certificate = append(out.Certificate, block.Bytes)
	}
	return out, nil
}

// Await waits until an application server accepts a credential: the feed has reached it.
func Await(ctx context.Context, m *appserver.Middleware, c api.Credential) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		_, err := m.Lookup([32]byte(c.Fingerprint))
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("credential %s does not become known to the application server: %w", c.ID, err)
		}
	}
}
