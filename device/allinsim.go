package device

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/psktls"
)

// ErrNotAllInSIM is what errors wrap about a SIM that has not what [Device.AllInSIMConfig] needs.
var ErrNotAllInSIM = errors.New("this SIM cannot do the whole key exchange (leave it to the device, or use a SIM that has what is missing)")

const (
	// allInSIMTime bounds a dial for those who set no bound: a SIM can take seconds, and a server
	// that never answers must not keep the SIM's one ephemeral key for ever.
	allInSIMTime = time.Minute
	// overwriteTime bounds the overwriting of a used key.
	overwriteTime = 10 * time.Second
)

// AllInSIMConfig returns a client configuration of TLS 1.3 (RFC 8446) whose every private key is in
// the SIM, the ephemeral one included, for those who must show that none has ever been
// elsewhere. In [Device.TLSConfig] the SIM only signs, which is faster.
//
// In the SIM are made and used: the ephemeral key pair (GENERATE KEY PAIR), the shared secret (COMPUTE DH),
// the handshake secret (COMPUTE HKDF) and the signature of CertificateVerify (COMPUTE SIGNATURE).
//
// What never leaves the SIM: the private key of the certificate, and the ephemeral private key.
//
// What leaves it: the public key for key_share; the signature; the shared secret, which IoT.05
// knows no way to keep inside (COMPUTE DH answers it, COMPUTE HKDF takes it: the host
// carries it from one to the other and forgets it); and the handshake secret,
// HKDF-Extract(Derive-Secret(Early Secret, "derived", ""), shared secret) in RFC 8446, 7.1. From it the host
// derives the traffic keys, as it must: it does the encryption. All these belong to one
// session. The Early Secret is HKDF-Extract(0, 0) here, which is the same for everybody and no secret.
// Whoever takes the host over has the sessions of that time and no key for another, as with
// TLSConfig; what is gained is that forward secrecy does not hang on the host's randomness and
// memory, and that ephemeral keys can be shown to come out of a certified generator.
//
// The SIM needs, beside its credential: a pair of P-256 containers of the volatile kind for key generation and
// key agreement, not for signatures; a public key container for key agreement that the device may
// update; and COMPUTE HKDF with SHA-256. An error wraps [ErrNotAllInSIM] and names what is missing.
// The only group is secp256r1; a server that wants another ends the handshake. There is no way back
// to keys in memory.
//
// There is one ephemeral key, so one handshake at a time: others wait, as long as their context
// lives. When a handshake ends, however it does, the used key is overwritten by a new one that
// nobody uses, so that whoever takes the device away later cannot have the SIM compute the
// shared secret of a recorded session again. No other program may do the same on this SIM at the
// same time.
//
// serverName is the name or the IP address that the server's certificate must have. Servers are
// trusted as [Device.Roots] says; the options [WithServerCheck] and [WithSIMRandom] have their effect.
// The credential is looked up for each handshake, so that a configuration outlives a rotation.
func (d *Device) AllInSIMConfig(ctx context.Context, serverName string) (*psktls.Config, error) {
	if serverName == "" {
		return nil, ErrNoHost
	}
	roots, err := d.Roots(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := d.Credential(ctx); err != nil {
		return nil, err
	}
	if _, err := d.exchange(ctx); err != nil {
		return nil, err
	}
	config := &psktls.Config{
		ServerName: serverName, KeyExchange: inSIM{d}, Curves: []tls.CurveID{tls.CurveP256}, Hash: crypto.SHA256,
		Certificates: &psktls.Certificates{Roots: roots, Client: d.Certificate},
	}
	if d.checkServer {
		if err := d.CanCheckServers(ctx); err != nil {
			return nil, err
		}
		config.Certificates.Check = d.CheckServer
	}
	config.Rand, err = d.configRand(ctx)
	return config, err
}

// DialAllInSIM connects to a server as [Device.AllInSIMConfig] describes. address is host:port, and
// the server's certificate must be for that host. Without a deadline in ctx, it gives up after a
// minute.
func (d *Device) DialAllInSIM(ctx context.Context, network, address string) (*psktls.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config, err := d.AllInSIMConfig(ctx, host)
	if err != nil {
		return nil, err
	}
	if _, bound := ctx.Deadline(); !bound {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, allInSIMTime)
		defer cancel()
	}
	return psktls.Dial(ctx, network, address, config)
}

// containers are where the SIM keeps the keys of an exchange.
type containers struct {
	private iotsafe.ID // of the ephemeral pair
	peer    iotsafe.ID // for the server's public key
}

// exchange finds the containers, once until the SIM says that its store has changed.
func (d *Device) exchange(ctx context.Context) (*containers, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.containers.get(d, func() (*containers, error) { return d.findContainers(ctx) })
}

func (d *Device) findContainers(ctx context.Context) (*containers, error) {
	info, err := d.applet.Info(ctx)
	if err != nil {
		return nil, err
	}
	objects, err := d.applet.Objects(ctx)
	if err != nil {
		return nil, err
	}
	var found containers
	for _, o := range objects {
		switch {
		case found.private == "" && canBeEphemeral(o) && hasPublicHalf(objects, o):
			found.private = o.ID
		case found.peer == "" && canTakePeer(o) && !hasPrivateHalf(objects, o):
			found.peer = o.ID
		}
	}
	var missing []string
	for _, need := range []struct {
		there bool
		what  string
	}{
		{info.Functions&iotsafe.KeyGeneration != 0, "the applet does not generate keys"},
		{info.Functions&iotsafe.KeyAgreement != 0 && info.KeyAgreement&iotsafe.ECKA != 0, "the applet does not do key agreement"},
		{info.Derivations&iotsafe.HKDF != 0, "the applet does not compute HKDF"},
		{info.Hashes&iotsafe.SHA256 != 0, "the applet does not know SHA-256"},
		{found.private != "", "no pair of volatile P-256 containers for key generation and key agreement, and not for signatures"},
		{found.peer != "", "no P-256 public key container for key agreement that the device may update"},
	} {
		if !need.there {
			missing = append(missing, need.what)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotAllInSIM, strings.Join(missing, "; "))
	}
	return &found, nil
}

// canBeEphemeral tells whether a private key may be made anew for each handshake. One that signs
// is never touched, nor one that is kept in memory that wears out.
func canBeEphemeral(o iotsafe.Object) bool {
	const needed, forbidden = iotsafe.KeyGeneration | iotsafe.KeyAgreement, iotsafe.Signing
	return o.Kind == iotsafe.PrivateKey && o.KeyType == iotsafe.P256Volatile &&
		o.Functions&needed == needed && o.Functions&forbidden == 0 && agrees(o)
}

// canTakePeer tells whether a container takes the server's public key.
func canTakePeer(o iotsafe.Object) bool {
	return o.Kind == iotsafe.PublicKey && (o.KeyType == iotsafe.P256Volatile || o.KeyType == iotsafe.P256Persistent) &&
		o.Functions&iotsafe.KeyAgreement != 0 && o.Access&iotsafe.Updateable != 0 && agrees(o)
}

// agrees tells whether a key is for ECKA. Tag 6F may be absent: there is no other.
func agrees(o iotsafe.Object) bool {
	return o.KeyAgreement == 0 || o.KeyAgreement&iotsafe.ECKA != 0
}

func hasPublicHalf(objects []iotsafe.Object, private iotsafe.Object) bool {
	for _, o := range objects {
		if o.Kind == iotsafe.PublicKey && samePair(private, o) {
			return true
		}
	}
	return false
}

// inSIM makes ephemeral keys in a SIM.
type inSIM struct{ device *Device }

// Ephemeral implements [psktls.KeyExchange].
func (s inSIM) Ephemeral(ctx context.Context, group tls.CurveID) (psktls.EphemeralKey, error) {
	d := s.device
	if group != tls.CurveP256 {
		return nil, fmt.Errorf("SIM %s: its ephemeral keys are on secp256r1, not on %v", d.iccid, group)
	}
	where, err := d.exchange(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case d.exchanging <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("SIM %s: its ephemeral key is in use by another handshake: %w", d.iccid, context.Cause(ctx))
	}
	key, err := d.ephemeral(ctx, *where)
	if err != nil {
		<-d.exchanging
		if outdated(err) {
			d.Forget()
		}
		return nil, fmt.Errorf("SIM %s: %w", d.iccid, err)
	}
	return key, nil
}

// ephemeral makes a key pair. The caller has the turn.
func (d *Device) ephemeral(ctx context.Context, where containers) (*ephemeral, error) {
	pair, err := d.applet.GenerateKeyPair(ctx, where.private)
	if err != nil {
		return nil, err
	}
	public, err := pair.Key.ECDH()
	if err != nil {
		return nil, err
	}
	return &ephemeral{d, containers{pair.Private, where.peer}, public}, nil
}

// ephemeral is a key pair in the SIM. Its holder has the turn, until Close.
type ephemeral struct {
	device *Device
	containers
	public *ecdh.PublicKey
}

// Public implements [psktls.EphemeralKey].
func (k *ephemeral) Public() []byte { return k.public.Bytes() }

// HandshakeSecret implements [psktls.EphemeralKey] with PUT PUBLIC KEY, COMPUTE DH and COMPUTE HKDF.
func (k *ephemeral) HandshakeSecret(ctx context.Context, hash crypto.Hash, salt, peer []byte) ([]byte, error) {
	if hash != crypto.SHA256 {
		return nil, fmt.Errorf("SIM %s: handshake secrets are extracted with SHA-256, not with %s: offer other cipher suites", k.device.iccid, hash)
	}
	theirs, err := ecdh.P256().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	applet := k.device.applet
	shared, err := applet.KeyExchanger(ctx, k.private, k.peer, k.public).ECDH(theirs)
	if err != nil {
		return nil, fmt.Errorf("SIM %s: %w", k.device.iccid, err)
	}
	defer clear(shared)
	secret, err := applet.HKDFExtract(ctx, iotsafe.SHA256, shared, salt)
	if err != nil {
		return nil, fmt.Errorf("SIM %s: %w", k.device.iccid, err)
	}
	return secret, nil
}

// Close implements [psktls.EphemeralKey]: it overwrites the key, even if the handshake's context has
// ended, and passes the turn on. IoT.05 has no command that deletes a key.
func (k *ephemeral) Close() error {
	defer func() { <-k.device.exchanging }()
	ctx, cancel := context.WithTimeout(context.Background(), overwriteTime)
	defer cancel()
	if _, err := k.device.applet.GenerateKeyPair(ctx, k.private); err != nil {
		return fmt.Errorf("SIM %s: the used ephemeral key could not be overwritten: %w", k.device.iccid, err)
	}
	return nil
}
