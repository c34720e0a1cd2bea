package appserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// ErrNoSealingKey is why nothing can be done with PSKs.
var ErrNoSealingKey = errors.New("Options.SealingKey is missing: without it no PSK can be opened")

// ErrSecretMissing refuses a PSK that is accepted, but whose secret the platform has not given yet.
var ErrSecretMissing = errors.New("the secret of the credential has not been fetched yet")

// startSecrets opens the vault, if there is a key to it.
func (m *Middleware) startSecrets(sealingKey []byte) error {
	if len(sealingKey) == 0 {
		return nil
	}
	opener, err := api.NewOpener(sealingKey)
	if err != nil {
		return err
	}
	path := filepath.Join(m.dir, "secrets")
	v, damage, err := openVault(path, sealingKey)
	if err != nil {
		return err
	}
	if damage != nil {
		m.log.Error("the file of sealed secrets was damaged, or belongs to another key; what is missing is fetched from the platform again", "file", path, "damage", damage)
	}
	m.secrets = newFetcher(m.platform, opener, v, m.log, m.secretArrived)
	if m.current.ID != "" {
		m.secrets.reconcile(m.current.secrets)
	}
	return nil
}

// secretArrived tells those who watch.
func (m *Middleware) secretArrived(credentialID string) {
	m.mu.RLock()
	change := Change{PSK: true}
	if c := m.current.byCredentialID(credentialID); c != nil {
		change.ICCID = unpackICCID(m.current.sims.at(c.sim).iccid)
		change.Barred = m.current.barred(c.sim, m.now())
	}
	m.mu.RUnlock()
	if change.ICCID != "" {
		m.watchers.tell(change)
	}
}

// SecretsReady waits until the secrets of all PSKs that are accepted are here. Call it after
// [Middleware.Ready] before serving PSKs, unless it does not matter that some are refused for
// a while after the first start.
func (m *Middleware) SecretsReady(ctx context.Context) error {
	if m.secrets == nil {
		return fmt.Errorf("appserver: %w", ErrNoSealingKey)
	}
	select {
	case <-m.secrets.complete():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("appserver: %d secrets are still to be fetched from the platform: %w", m.secrets.missing(), context.Cause(ctx))
	}
}

// PSKConfig is a server's configuration, for psktls and for psktls/dtls, that lets in nobody but
// SIMs with an accepted PSK. Everything else, such as cipher suites, is as in base, which is
// not changed. It needs [Options.SealingKey].
//
// A secret is opened when a handshake derives from it, and wiped at once. A client with an
// identity that is unknown, revoked, suspended or denied runs into the same work, messages and alert as one
// with a wrong key: the secret of a decoy is opened and derived from in place of its own. Why it was
// refused is in the error of the handshake on this side, beside [psktls.ErrUnknownIdentity].
func (m *Middleware) PSKConfig(base *psktls.Config) (*psktls.Config, error) {
	if m.secrets == nil {
		return nil, fmt.Errorf("appserver: %w", ErrNoSealingKey)
	}
	c := psktls.Config{}
	if base != nil {
		c = *base
	}
	c.GetKey = m.pskKey
	return &c, nil
}

// pskKey finds the key of an identity, or one that nobody has.
func (m *Middleware) pskKey(_ context.Context, identity []byte) (psktls.Key, error) {
	id, err := m.Lookup(PSKFingerprint(identity))
	if err == nil && !m.secrets.vault.has(id.Credential) {
		err = ErrSecretMissing
	}
	credential := id.Credential
	var unknown error
	if err != nil {
		credential, unknown = "", &strangerError{refusalError{id, err}}
	}
	return psktls.SealedKey(func(context.Context) ([]byte, error) { return m.openSecret(credential) }), unknown
}

// strangerError is a refusal that the peer sees as a wrong key.
type strangerError struct{ refusalError }

func (e *strangerError) Unwrap() []error { return []error{psktls.ErrUnknownIdentity, e.reason} }

// openSecret opens a secret, or the decoy if there is no ID. One that is damaged is fetched anew.
func (m *Middleware) openSecret(credential string) ([]byte, error) {
	secret, _, err := m.secrets.vault.open(credential)
	if err != nil && credential != "" {
		m.log.Error("a sealed secret cannot be opened and is fetched again", "credential", credential, "error", err)
		m.secrets.vault.lose(credential)
		m.secrets.want(credential)
		secret, _, err = m.secrets.vault.open("")
	}
	return secret, err
}

// RevealPSK is for TLS and DTLS libraries other than psktls, which want the key itself. Refused
// is why the identity is not let in; the secret is then one that nobody has, so that the
// handshake fails as with a wrong key and shows no more than that. The caller clears the secret after
// use, and calls [Middleware.Enlist] with the [PSKFingerprint] of the identity after the handshake.
func (m *Middleware) RevealPSK(identity []byte) (secret []byte, refusal, err error) {
	if m.secrets == nil {
		return nil, nil, fmt.Errorf("appserver: %w", ErrNoSealingKey)
	}
	id, refusal := m.Lookup(PSKFingerprint(identity))
	credential := id.Credential
	if refusal != nil {
		credential = ""
	}
	secret, known, err := m.secrets.vault.open(credential)
	if refusal == nil && !known {
		refusal = ErrSecretMissing
	}
	if refusal != nil {
		refusal = refused(id, refusal)
	}
	return secret, refusal, err
}

// pskConn is a connection of psktls or psktls/dtls.
type pskConn interface {
	net.Conn
	HandshakeContext(context.Context) error
	ConnectionState() psktls.ConnectionState
}

// AdmitPSK is [Middleware.Admit] for a [*psktls.Conn] or a [*dtls.Conn] with the configuration of
// [Middleware.PSKConfig].
func (m *Middleware) AdmitPSK(ctx context.Context, conn pskConn) (*Conn, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		(&Conn{Conn: conn}).abandon()
		return nil, err
	}
	state := conn.ConnectionState()
	return m.Enlist(conn, PSKFingerprint(state.Identity))
}

// PSKListener is [Middleware.Listener] for TLS with pre-shared keys. Config is one of
// [Middleware.PSKConfig].
func (m *Middleware) PSKListener(inner net.Listener, config *psktls.Config) *Listener {
	return m.ListenerFunc(inner, func(ctx context.Context, accepted net.Conn) (*Conn, error) {
		return m.AdmitPSK(ctx, psktls.Server(accepted, config))
	})
}

// DTLSListener is [Middleware.Listener] for DTLS with pre-shared keys, on a UDP socket that it takes
// over. Its connections keep datagrams apart; they share the socket, and end with the listener.
// Config is one of [Middleware.PSKConfig], with an MTU if need be.
func (m *Middleware) DTLSListener(socket net.PacketConn, config *dtls.Config) (*Listener, error) {
	inner, err := dtls.Listen(socket, config)
	if err != nil {
		return nil, err
	}
	return m.ListenerFunc(inner, func(ctx context.Context, accepted net.Conn) (*Conn, error) {
		return m.AdmitPSK(ctx, accepted.(*dtls.Conn))
	}), nil
}
