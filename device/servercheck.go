package device

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/simroot/simroot/iotsafe"
)

// WithServerCheck has the SIM check servers, in addition to the host: after crypto/x509 has
// found the server's chain good (names, dates, purposes, every signature), the SIM verifies
// the signature of the trust anchor on the certificate below it, with a public key of its own
// (VERIFY SIGNATURE). Only a server whose chain ends in an anchor on the SIM passes.
//
// It protects against a host whose trust store was changed: a CA that somebody has added to
// it, or to the RootCAs of the configuration, cannot vouch for a server. It does not protect against a
// host whose programs were changed, which can leave the check out, nor does the SIM look at
// anything but that one signature: names, dates and revocation stay the host's.
//
// The key is one that a public key container of the SIM holds and the device cannot overwrite.
// If there is none, that of an anchor certificate on the SIM is put into a container that the
// device may update, for each check anew. Such a container must not be used by
// another program at the same moment: the check would then fail.
//
// It costs two commands a handshake, four where the key is put, and no less on resumption. It
// needs a Type I applet, and anchors on P-256 that sign with ECDSA; [Device.TLSConfig] fails with
// [ErrServerCheck] if the SIM has none. For stacks other than crypto/tls see [Device.CheckServer].
func WithServerCheck() Option {
	return func(o *options) { o.checkServer = true }
}

// ErrServerCheck is what errors wrap about a server that the SIM did not find good, or could not
// check.
var ErrServerCheck = errors.New("the server was to be checked by the SIM")

// checker is what of the SIM's store can check servers. Keys are named by their
// SubjectPublicKeyInfo.
type checker struct {
	held    map[string]iotsafe.ID       // containers whose key the device cannot overwrite
	anchors map[string]*ecdsa.PublicKey // of the anchor certificates
	spare   iotsafe.ID                  // a container that takes a key; "" if there is none
}

// CanCheckServers tells, before any server is asked, whether the SIM holds what
// [Device.CheckServer] needs. An error wraps [ErrServerCheck].
func (d *Device) CanCheckServers(ctx context.Context) error {
	_, err := d.findChecker(ctx)
	return err
}

// CheckServer has the SIM verify that a chain ends in an anchor of its own, as
// [WithServerCheck] describes. chains are verified ones, as crypto/x509 returns them, each from the
// server's certificate to the anchor; one that passes is enough, and none at all is an error, so
// that a configuration which skips the host's verification does not pass either. It does not
// check the server's name: whoever verified the chains did.
//
// It fits tls.Config's and pion/dtls's VerifyPeerCertificate. crypto/tls does not call that
// on resumption; TLSConfig uses VerifyConnection, which it always calls.
func (d *Device) CheckServer(ctx context.Context, chains [][]*x509.Certificate) error {
	c, err := d.findChecker(ctx)
	if err != nil {
		return err
	}
	problem := fmt.Errorf("%w: the host has not verified its certificate", ErrServerCheck)
	for _, chain := range chains {
		if problem = d.checkChain(ctx, c, chain); problem == nil || ctx.Err() != nil {
			break
		}
	}
	return problem
}

func (d *Device) checkChain(ctx context.Context, c *checker, chain []*x509.Certificate) error {
	if len(chain) < 2 {
		return fmt.Errorf("%w: its certificate is itself what the host trusts, and no anchor has signed it", ErrServerCheck)
	}
	below, anchor := chain[len(chain)-2], chain[len(chain)-1]
	var err error
	if id, held := c.held[string(anchor.RawSubjectPublicKeyInfo)]; held {
		err = d.applet.VerifyCertificate(ctx, id, below)
	} else if key, known := c.anchors[string(anchor.RawSubjectPublicKeyInfo)]; known && c.spare != "" {
		err = d.applet.VerifyCertificateBy(ctx, c.spare, key, below)
	} else {
		err = fmt.Errorf("its chain ends in %q, which is no anchor on the SIM", anchor.Subject)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrServerCheck, err)
	}
	return nil
}

func (d *Device) findChecker(ctx context.Context) (*checker, error) {
	anchors, err := d.Anchors(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.checker.get(d, func() (*checker, error) { return d.readChecker(ctx, anchors) })
}

func (d *Device) readChecker(ctx context.Context, anchors []*x509.Certificate) (*checker, error) {
	objects, err := d.applet.Objects(ctx)
	if err != nil {
		return nil, err
	}
	c := &checker{held: map[string]iotsafe.ID{}, anchors: map[string]*ecdsa.PublicKey{}}
	for _, anchor := range anchors {
		if key, ok := anchor.PublicKey.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() {
			c.anchors[string(anchor.RawSubjectPublicKeyInfo)] = key
		}
	}
	for _, o := range objects {
		if !canVerify(o) || hasPrivateHalf(objects, o) {
			continue
		}
		if o.Access&iotsafe.Updateable != 0 {
			if c.spare == "" {
				c.spare = o.ID
			}
			continue
		}
		if !o.Active || o.Access&iotsafe.Readable == 0 {
			continue
		}
		key, err := d.applet.PublicKey(ctx, o.ID)
		if err != nil {
			return nil, err
		}
		name, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		c.held[string(name)] = o.ID
	}
	switch {
	case len(c.held) > 0 || len(c.anchors) > 0 && c.spare != "":
		return c, nil
	case len(c.anchors) == 0 && len(anchors) > 0:
		return nil, fmt.Errorf("%w: the trust anchors on the SIM are not on P-256", ErrServerCheck)
	case len(c.anchors) == 0:
		return nil, fmt.Errorf("%w: there is no trust anchor on it; provision the SIM with one", ErrServerCheck)
	}
	return nil, fmt.Errorf("%w: it has no public key container for signatures that holds an anchor's key or may be updated", ErrServerCheck)
}

// canVerify tells whether an object is a P-256 public key for signatures.
func canVerify(o iotsafe.Object) bool {
	return o.Kind == iotsafe.PublicKey && o.Functions&iotsafe.Signing != 0 && o.Signatures&iotsafe.ECDSA != 0 &&
		(o.KeyType == iotsafe.P256Persistent || o.KeyType == iotsafe.P256Volatile)
}

// hasPrivateHalf tells whether the SIM itself can sign with a key. Such a key vouches for
// nobody.
func hasPrivateHalf(objects []iotsafe.Object, public iotsafe.Object) bool {
	for _, o := range objects {
		if o.Kind == iotsafe.PrivateKey && samePair(o, public) {
			return true
		}
	}
	return false
}
