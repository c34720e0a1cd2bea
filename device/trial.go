package device

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/psktls"
)

// ErrTrial says that a new credential did not work when it was tried. The SIM goes on with the
// one that it has; the next onboarding tries again.
var ErrTrial = errors.New("the new credential has not worked yet, and the one before stays in use")

// trialTime bounds a [Trial]: a platform does not wait for longer than two minutes.
const trialTime = 90 * time.Second

// Trial uses a new credential once, before it takes the place of the one in use. The device that
// it is given has no other credential, and must not be closed or kept.
//
// Without a trial, a rotation believes the SIM's proof that it holds what it was given. With
// one, neither the SIM nor the platform gives up the old credential before servers have been
// seen to accept the new one, wherever the rotation is cut.
type Trial func(ctx context.Context, sim *Device) error

// WithTrial makes [Device.Onboard] try a new credential before it replaces one that works.
func WithTrial(try Trial) Option {
	return func(o *options) { o.trial = try }
}

// try tries a credential, for as long as a platform waits.
func (d *Device) try(ctx context.Context, c api.Credential) error {
	if d.trial == nil {
		return errors.New("the platform wants a trial that nobody has offered")
	}
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	if err := d.trial(ctx, d.onTrial(&c)); err != nil {
		return fmt.Errorf("%w: %w", ErrTrial, err)
	}
	return nil
}

// onTrial is the SIM as if it had no credential but this one.
func (d *Device) onTrial(c *api.Credential) *Device {
	view := &Device{card: d.card, applet: d.applet, iccid: d.iccid, exchanging: d.exchanging, settings: d.settings, only: c}
	view.cache = nil
	return view
}

// firstTry is how long [HandshakeWith] waits before it tries again; what servers know of a
// new credential is a second old at most, if all is well.
const firstTry = 500 * time.Millisecond

// HandshakeWith is a [Trial]: a handshake with each of these servers (host:port), TLS with
// a certificate or with a PSK, as the credential is. A server that has not heard of the
// credential yet is asked a few times. roots are what server certificates must chain to; nil
// means the trust anchors on the SIM, or those of the system if it has none.
func HandshakeWith(roots *x509.CertPool, servers ...string) Trial {
	return func(ctx context.Context, sim *Device) error {
		for _, server := range servers {
			err := sim.handshake(ctx, roots, server)
			for wait := firstTry; err != nil && !errors.Is(err, errUnreached) && wait <= 8*firstTry && ctx.Err() == nil; wait *= 2 {
				pause(ctx, wait)
				err = sim.handshake(ctx, roots, server)
			}
			if err != nil {
				return fmt.Errorf("server %s: %w", server, err)
			}
		}
		return nil
	}
}

// errUnreached says that a server was not there to be asked.
var errUnreached = errors.New("it cannot be reached")

// handshakeTime bounds one handshake, and how long a server may take after it to refuse.
const (
	handshakeTime = 20 * time.Second
	verdictTime   = 2 * time.Second
)

// handshake does one with a server, and ends the connection.
func (d *Device) handshake(ctx context.Context, roots *x509.CertPool, server string) error {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", server)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreached, err)
	}
	defer raw.Close()
	if d.only.Type == api.PSKType {
		config, err := d.PSKConfig(ctx, "", host)
		if err != nil {
			return err
		}
		return psktls.Client(raw, config).HandshakeContext(ctx)
	}
	config, err := d.TLSConfig(ctx)
	if err != nil {
		return err
	}
	if config.ServerName = host; roots != nil {
		config.RootCAs = roots
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	return verdict(conn)
}

// verdict waits for a server's refusal: in TLS 1.3 it looks at the client's certificate after
// the client's handshake is over. Silence, data and a clean end are consent.
func verdict(conn *tls.Conn) error {
	if conn.ConnectionState().Version < tls.VersionTLS13 {
		return nil
	}
	if err := conn.SetReadDeadline(time.Now().Add(verdictTime)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	var slow net.Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &slow) && slow.Timeout() {
		return nil
	}
	return err
}
