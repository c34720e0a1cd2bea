package conformance_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"sync"
	"testing"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/conformance"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/applet/brainpool"
	"github.com/simroot/simroot/vsim/uicc"
)

const testICCID card.ICCID = "89882119900000000017"

// secretID and secret are of the secret key whose value the tests give to the kit.
const (
	secretID = iotsafe.ID("\x21")
	secret   = "a secret that both sides know: 32"
)

// sim is a virtual SIM in memory with nothing but an IoT SAFE applet on it. alter, if not
// nil, sees every command as the card gets it, and may pass it on or answer itself.
type sim struct {
	mu    sync.Mutex
	uicc  *uicc.UICC
	alter func(command []byte, pass func([]byte) []byte) []byte
}

// newSIM makes a SIM around an application, which is an applet or something wrapped
// around one.
func newSIM(t testing.TB, app uicc.App) *sim {
	t.Helper()
	u, err := uicc.New(testICCID, "uicc", nil, app)
	if err != nil {
		t.Fatal(err)
	}
	return &sim{uicc: u}
}

func (s *sim) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.alter != nil {
		return s.alter(command, s.uicc.Process), nil
	}
	return s.uicc.Process(command), nil
}

// newApplet is an applet that keeps its state nowhere.
func newApplet(state applet.State) *applet.Applet {
	return applet.New(state, testICCID.File(), func(applet.State) error { return nil })
}

// fullOptions let the kit do everything.
func fullOptions() conformance.Options {
	return conformance.Options{Destructive: true, SecretID: secretID, Secret: []byte(secret)}
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// fullState is a store in which the kit finds something for each of its tests.
func fullState(t testing.TB) applet.State {
	t.Helper()
	long := iotsafe.ID("an id of twenty byte")
	private := func(id iotsafe.ID, label string, f iotsafe.Function) iotsafe.Object {
		o := iotsafe.Object{Kind: iotsafe.PrivateKey, ID: id, Label: label, KeyType: iotsafe.P256Persistent, Usage: iotsafe.General, Functions: f}
		if f&iotsafe.Signing != 0 {
			o.Signatures, o.Hashes = iotsafe.ECDSA, iotsafe.SHA256|iotsafe.SHA384|iotsafe.SHA512
		}
		if f&iotsafe.KeyAgreement != 0 {
			o.KeyAgreement = iotsafe.ECKA
		}
		return o
	}
	public := func(id iotsafe.ID, label string, f iotsafe.Function, a iotsafe.Access) iotsafe.Object {
		o := private(id, label, f)
		o.Kind, o.Access = iotsafe.PublicKey, a
		return o
	}
	usage := func(o iotsafe.Object, u iotsafe.Usage) iotsafe.Object { o.Usage = u; return o }
	hash := func(o iotsafe.Object, h iotsafe.Hash) iotsafe.Object { o.Hashes = h; return o }
	volatile := func(o iotsafe.Object) iotsafe.Object { o.KeyType = iotsafe.P256Volatile; return o }
	rsaObject := func(o iotsafe.Object) iotsafe.Object {
		o.KeyType, o.Signatures = iotsafe.RSA2048, iotsafe.RSAPKCS1v15|iotsafe.RSAPSS
		return o
	}
	onBrainpool := func(o iotsafe.Object) iotsafe.Object { o.KeyType = iotsafe.BrainpoolP256Persist; return o }
	file := func(id iotsafe.ID, label string, a iotsafe.Access, size int) iotsafe.Object {
		return iotsafe.Object{Kind: iotsafe.File, ID: id, Label: label, Access: a, Usage: iotsafe.General, Size: size}
	}
	secretKey := func(id iotsafe.ID, label string, d iotsafe.Derivation) iotsafe.Object {
		return iotsafe.Object{Kind: iotsafe.SecretKey, ID: id, Label: label, KeyType: iotsafe.HMACSecret, Functions: iotsafe.KeyDerivation, Derivations: d}
	}
	const signing, making, agreeing = iotsafe.Signing, iotsafe.KeyGeneration, iotsafe.KeyAgreement
	const both = iotsafe.PRFSHA256 | iotsafe.HKDF
	state, err := applet.NewState(1,
		private("\x01", "signer", signing|making), public("\x01", "signer", signing|making, iotsafe.Readable),
		hash(private(long, "a second signer, with a long label", signing), iotsafe.SHA256),
		hash(public(long, "a second signer, with a long label", signing, iotsafe.Readable), iotsafe.SHA256),
		usage(private("\x08", "tls13", signing), iotsafe.TLS13CertificateVerify), usage(public("\x08", "tls13", signing, iotsafe.Readable), iotsafe.TLS13CertificateVerify),
		volatile(private("\x04", "ephemeral", making|agreeing)), volatile(public("\x04", "ephemeral", making|agreeing, iotsafe.Readable)),
		private("\x09", "agree", agreeing), public("\x09", "agree", agreeing, iotsafe.Readable),
		private("\x0A", "empty", signing|making), public("\x0B", "empty", signing|making, 0),
		public("\x05", "peer", signing|agreeing, iotsafe.Readable|iotsafe.Updateable),
		public("\x0C", "no peer yet", signing|agreeing, 0),
		public("\x0D", "hidden", signing|agreeing, 0),
		usage(private("\x0F", "tls12", signing), iotsafe.TLS12CertificateVerify), usage(public("\x0F", "tls12", signing, iotsafe.Readable), iotsafe.TLS12CertificateVerify),
		onBrainpool(private("\x10", "brainpool", signing|agreeing)), onBrainpool(public("\x10", "brainpool", signing|agreeing, iotsafe.Readable)),
		onBrainpool(public("\x11", "brainpool peer", agreeing, iotsafe.Readable|iotsafe.Updateable)),
		rsaObject(public("\x12", "rsa peer", signing, iotsafe.Readable|iotsafe.Updateable)),
		rsaObject(private("\x0E", "rsa", signing)), rsaObject(public("\x0E", "rsa", signing, iotsafe.Readable)),
		secretKey(secretID, "psk", both), secretKey("\x22", "empty", both),
		secretKey("\x23", "prf only", iotsafe.PRFSHA256), secretKey("\x24", "hkdf only", iotsafe.HKDF),
		file("\x02", "certificate", iotsafe.Readable, 600), file(long, "", iotsafe.Readable, 255),
		file("\x03", "off", iotsafe.Readable, 40), file("\x06", "hidden", 0, 40),
	)
	if err != nil {
		t.Fatal(err)
	}
	for i := range state.Objects {
		c := &state.Objects[i]
		fill(t, &state, c)
		c.Object.Active = len(c.Content) > 0 && c.Object.Label != "off"
	}
	return state
}

// fill gives a container its content; those that are to be empty stay so.
func fill(t testing.TB, state *applet.State, c *applet.Container) {
	t.Helper()
	label := c.Object.Label
	switch {
	case slices.Contains([]string{"empty", "no peer yet", "peer", "rsa peer", "brainpool peer", "ephemeral"}, label):
	case c.Object.Kind == iotsafe.File:
		c.Content = make([]byte, c.Object.Size)
		rand.Read(c.Content)
	case c.Object.Kind == iotsafe.SecretKey:
		c.Content = []byte(secret)[:32]
		if c.Object.ID == secretID {
			c.Content = []byte(secret)
		}
	case c.Object.KeyType == iotsafe.RSA2048 && c.Object.Kind == iotsafe.PrivateKey:
		c.Content = x509.MarshalPKCS1PrivateKey(rsaKey())
	case c.Object.KeyType == iotsafe.RSA2048:
		c.Content = x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)
	case c.Object.KeyType == iotsafe.BrainpoolP256Persist:
		if c.Object.Kind == iotsafe.PrivateKey {
			scalar, point, err := brainpool.GenerateKey()
			if err != nil {
				t.Fatal(err)
			}
			c.Content = scalar
			setPublic(state, label, point)
		}
	case c.Object.Kind == iotsafe.PrivateKey || label == "hidden":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if label == "hidden" {
			c.Content = point
			return
		}
		if c.Content, err = key.Bytes(); err != nil {
			t.Fatal(err)
		}
		setPublic(state, label, point)
	}
}

// setPublic fills the public half of a pair.
func setPublic(state *applet.State, label string, point []byte) {
	for i := range state.Objects {
		half := &state.Objects[i]
		if half.Object.Kind == iotsafe.PublicKey && half.Object.Label == label {
			half.Content = point
		}
	}
}
