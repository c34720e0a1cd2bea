package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/iotsafe"
)

// How often a connection is tried while the client waits. Reaching a server costs nothing; each
// handshake costs the SIM a signature.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 4 * time.Second
	handshakes = 3
)

// attempt is one handshake with a server.
type attempt struct {
	raw  net.Conn // to the server
	sim  *device.Device
	host string // of the server, a name or an address
	seen *watch // what goes wrong in the SIM
}

// connect reaches the server and does the handshake, with what the SIM has: certificate or PSK.
// It tries again what may pass.
func connect[C net.Conn](ctx context.Context, w *way, certificate func(context.Context, attempt) (C, error), psk func(context.Context, attempt, string) (C, error)) (C, error) {
	var none C
	wait := firstPause
	for tried := 0; ; {
		sim, err := w.SIM.Device()
		if err != nil {
			return none, err
		}
		dialer := net.Dialer{}
		raw, err := dialer.DialContext(ctx, w.forward.network(), w.forward.Remote)
		if err == nil {
			var secured C
			if secured, err = secure(ctx, w, raw, sim, certificate, psk); err == nil {
				return secured, nil
			}
			raw.Close()
			// A UDP port that nobody listens on shows in the handshake only.
			if !errors.Is(err, syscall.ECONNREFUSED) {
				if tried++; tried == handshakes || !passes(err) {
					return none, err
				}
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			wait = min(2*wait, lastPause)
		case <-ctx.Done():
			timer.Stop()
			return none, err
		}
	}
}

// errSIM is why a handshake failed whose fault was on this side.
var errSIM = errors.New("the SIM did not do its part")

// passes tells whether another handshake may go better: if the line broke, and nobody said no,
// or if the SIM has just been given another credential.
func passes(err error) bool {
	if errors.Is(err, errSIM) {
		return iotsafe.Changed(err)
	}
	var broken *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &broken) && broken.Op != "remote error" && broken.Op != "local error"
}

// secure does one handshake.
func secure[C net.Conn](ctx context.Context, w *way, raw net.Conn, sim *device.Device, certificate func(context.Context, attempt) (C, error), psk func(context.Context, attempt, string) (C, error)) (C, error) {
	var none C
	host, _, err := net.SplitHostPort(w.forward.Remote)
	if err != nil {
		return none, err
	}
	a := attempt{raw, sim, host, &watch{}}
	var secured C
	if identity, use := w.usePSK(ctx, sim); use {
		secured, err = psk(ctx, a, identity)
	} else {
		secured, err = certificate(ctx, a)
	}
	if fault := a.seen.fault(); fault != nil {
		w.SIM.Suspect()
		if err == nil {
			secured.Close()
		}
		// crypto/tls hands on no more than the text of such an error.
		return none, fmt.Errorf("%w: %w", errSIM, fault)
	}
	if err != nil {
		return none, w.judge(err)
	}
	return secured, nil
}

// usePSK tells whether it is the SIM's PSK that is to be used, and under which identity: ""
// is the one that the SIM names.
func (w *way) usePSK(ctx context.Context, sim *device.Device) (identity string, use bool) {
	if w.AllInSIM {
		return "", false // nothing else is taken in its place
	}
	if w.Identity != nil {
		if identity = w.Identity(); identity != "" {
			return identity, true
		}
	}
	if w.withoutCertificate.Load() == sim {
		return "", true
	}
	if _, err := sim.Credential(ctx); !errors.Is(err, device.ErrNoCredential) {
		return "", false
	}
	if _, err := sim.PSK(ctx); err != nil {
		return "", false // it has neither, and is told that it has no certificate
	}
	w.withoutCertificate.Store(sim)
	return "", true
}
