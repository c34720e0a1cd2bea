// Package device is the client middleware: TLS whose keys never leave the SIM, and the
// agent that brings a SIM its credentials at switch-on.
//
//	sim, err := device.Open(ctx, "pcsc:")
//	defer sim.Close()
//	if _, err := sim.Onboard(ctx, platform); err != nil { … }
//	config, err := sim.TLSConfig(ctx)          // crypto/tls 1.2 and 1.3
//	conn, err := tls.Dial("tcp", "broker.example:8883", config)
//
// The SIM signs; everything else of the handshake happens in crypto/tls. A warm handshake
// costs the SIM two commands: the object list and the certificate are read once and kept
// until the SIM says that remote administration has changed them.
//
// [Device.DialAllInSIM] is for those who must show that the ephemeral keys too are the SIM's.
//
// A [Device] is safe for concurrent use. It never sees a private key.
package device

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
)

// Device is a SIM with an IoT SAFE applet, opened for use.
type Device struct {
	card   card.Conn
	applet *iotsafe.Applet
	iccid  card.ICCID

	mu         sync.Mutex
	credential kept[*Credential]
	psk        kept[*PSK]
	anchors    kept[[]*x509.Certificate]
	checker    kept[*checker]
	containers kept[*containers]
	random     *mixed // nil until it is asked for

	exchanging chan struct{} // full while the SIM's ephemeral key is in use

	settings
	only *api.Credential // nil, or the one credential on trial that this view of the SIM has
}

// settings are what the options have settled for every connection of a device.
type settings struct {
	trial       Trial
	roots       *x509.CertPool // nil: the SIM's anchors
	checkServer bool
	simRandom   bool
	cache       *cache // nil: none
}

// Option changes how a SIM is opened.
type Option func(*options)

type options struct {
	applet []iotsafe.Option
	settings
	cacheDir string
}

// WithAID looks for the applet under this AID only, instead of the known ones.
func WithAID(aid []byte) Option {
	return func(o *options) { o.applet = append(o.applet, iotsafe.WithAID(aid)) }
}

// WithRoots makes the device trust servers whose certificates chain to these CAs, and not ask
// the SIM for trust anchors, which spares reading them.
func WithRoots(roots *x509.CertPool) Option {
	return func(o *options) { o.roots = roots }
}

// Open opens the card that uri names (see [card.Open]) and selects its IoT SAFE applet.
func Open(ctx context.Context, uri string, opts ...Option) (*Device, error) {
	c, err := card.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	d, err := New(ctx, c, opts...)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return d, nil
}

// New uses a card that is open already. Closing the device closes the card.
func New(ctx context.Context, c card.Conn, opts ...Option) (*Device, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.cacheDir != "" {
		var err error
		if o.cache, err = openCache(o.cacheDir); err != nil {
			return nil, err
		}
	}
	iccid, err := card.ReadICCID(ctx, c, 0)
	if err != nil {
		return nil, fmt.Errorf("this card is no SIM, or its ICCID cannot be read: %w", err)
	}
	applet, err := iotsafe.Select(ctx, c, o.applet...)
	if err != nil {
		return nil, fmt.Errorf("SIM %s: %w", iccid, err)
	}
	return &Device{card: c, applet: applet, iccid: iccid, exchanging: make(chan struct{}, 1), settings: o.settings}, nil
}

// kept is something read from the SIM, which is good as long as the applet's generation
// stays the same (see [iotsafe.Applet.Generation]).
type kept[T any] struct {
	value      T
	known      bool
	generation uint64
}

// get returns what is kept, or reads it anew. The caller holds the device's lock.
func (k *kept[T]) get(d *Device, read func() (T, error)) (T, error) {
	generation := d.applet.Generation()
	if k.known && k.generation == generation {
		return k.value, nil
	}
	value, err := read()
	if err != nil {
		var none T
		return none, fmt.Errorf("SIM %s: %w", d.iccid, err)
	}
	k.value, k.known, k.generation = value, true, generation
	return value, nil
}

// Close closes the applet's channel and the card.
func (d *Device) Close() error {
	return errors.Join(d.applet.Close(context.Background()), d.card.Close())
}

// ICCID identifies the SIM.
func (d *Device) ICCID() card.ICCID { return d.iccid }

// Applet is the applet behind the device, for everything that this package does not do.
func (d *Device) Applet() *iotsafe.Applet { return d.applet }
