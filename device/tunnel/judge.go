package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/alert"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/psktls"
)

// errRefused is a server's no to the SIM.
var errRefused = errors.New("the server refuses the SIM's credential: it may be revoked, suspended, expired, or unknown to this server; ask the platform (simroot platform sims show ICCID), or run simroot device onboard")

// errNoAnswer is what DTLS has instead of a refusal of the line.
var errNoAnswer = errors.New("the server does not answer: is it there, and does a firewall let UDP through? With a PSK, also: do both sides have the same key under this identity?")

// refusals are the alerts by which a server refuses a client's certificate (RFC 8446, 6.2): as
// crypto/tls words them, and as psktls and pion/dtls number them.
var (
	refusals = []string{
		"bad certificate", "unsupported certificate", "revoked certificate", "expired certificate",
		"unknown certificate", "unknown certificate authority", "access denied", "certificate required",
	}
	refusalsByPSKTLS = []psktls.Alert{
		psktls.AlertBadCertificate, psktls.AlertUnsupportedCertificate, psktls.AlertCertificateRevoked, psktls.AlertCertificateExpired,
		psktls.AlertCertificateUnknown, psktls.AlertUnknownCA, psktls.AlertAccessDenied, psktls.AlertCertificateRequired,
		psktls.AlertUnknownPSKIdentity,
	}
	refusalAlerts = []alert.Description{
		alert.BadCertificate, alert.UnsupportedCertificate, alert.CertificateRevoked, alert.CertificateExpired,
		alert.CertificateUnknown, alert.UnknownCA, alert.AccessDenied,
	}
)

// judge says what an error of a connection means where the error itself does not, and has the
// SIM looked at again if its credential is refused: it may have another one by now.
func (w *way) judge(err error) error {
	switch {
	case refuses(err):
		w.SIM.Suspect()
		return fmt.Errorf("%w (%w)", errRefused, err)
	case w.forward.network() == UDP && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%w)", errNoAnswer, err)
	}
	return err
}

// refuses tells whether it is the server who says no to what the SIM has shown.
func refuses(err error) bool {
	var layer *net.OpError // of a copy, or of crypto/tls
	for inner := err; errors.As(inner, &layer); inner = layer.Err {
		if layer.Op != "remote error" {
			continue
		}
		for _, text := range refusals {
			if layer.Err.Error() == "tls: "+text {
				return true
			}
		}
	}
	var psk *psktls.AlertError
	if errors.As(err, &psk) {
		return psk.Remote && slices.Contains(refusalsByPSKTLS, psk.Alert)
	}
	return refusedByPion(err)
}

// refusedByPion finds an alert in an error of pion/dtls, whose type it keeps to itself: one that
// came is an error without a cause.
func refusedByPion(err error) bool {
	var failed *pion.HandshakeError
	if !errors.As(err, &failed) {
		return false
	}
	for _, description := range refusalAlerts {
		if failed.Err != nil && failed.Err.Error() == "alert: "+(&alert.Alert{Level: alert.Fatal, Description: description}).String() {
			return true
		}
	}
	return false
}

// ended says in the log how a connection or session has ended. What the keeper of the SIM has
// told already is not repeated for every client.
func (w *way) ended(what string, err error, more ...any) {
	level := slog.LevelWarn
	switch {
	case err == nil, errors.Is(err, device.ErrAway):
		level = slog.LevelDebug
	case (what == connectionEnded || what == sessionEnded) && !errors.Is(err, errRefused):
		level = slog.LevelInfo // which happens to every server
	}
	w.log.Log(context.Background(), level, what, append(more, "error", err)...)
}

const (
	connectionEnded   = "connection ended"
	connectionRefused = "connection refused"
	sessionEnded      = "session ended"
	sessionRefused    = "session refused"
)

// isEnd tells whether a session was ended in good order by the server.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) }
