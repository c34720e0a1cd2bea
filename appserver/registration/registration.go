// Package registration makes an application server known to the platform, and keeps it known.
//
// An administrator invites the application server and hands over a one-time token. [Register]
// makes two keys in a folder, which stay there: one that the platform certifies, by which the
// application server identifies itself from then on, and one to which the platform seals PSKs. It may be
// repeated after any failure: the keys are on disk before they are used, and the platform answers
// the same key again. [Registration.Keep] renews the certificate at two thirds of its life.
//
//	r, err := registration.Register(ctx, registration.Options{Platform: url, RootCAs: roots, Dir: dir}, token)
//	...
//	go r.Keep(ctx)
//	m, err := appserver.Open(ctx, appserver.Options{Platform: r.Client(), SealingKey: r.SealingKey(), Dir: data})
package registration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/durable"
)

// The files in the folder.
const (
	keyFile         = "registration.key" // PKCS#8 in PEM
	sealingFile     = "sealing.key"      // X25519 in hexadecimal
	certificateFile = "registration.crt" // the chain in PEM
)

// ErrNotRegistered: there is no certificate in the folder.
var ErrNotRegistered = errors.New("this application server is not registered: have an administrator run \"simroot platform appservers add\", and register with the token")

// Options say where the platform is and where the keys are.
type Options struct {
	Platform string         // URL
	RootCAs  *x509.CertPool // of the platform; nil: those of the system
	// Dir keeps the keys and the certificate. It is created if need be, for this user alone.
	Dir string

	Logger *slog.Logger     // nil: [slog.Default]
	Clock  func() time.Time // nil: [time.Now]
}

// Registration is an application server's identity. It is safe for concurrent use.
type Registration struct {
	dir     string
	client  *api.Client
	key     *ecdsa.PrivateKey
	sealing []byte
	log     *slog.Logger
	clock   func() time.Time
	current atomic.Pointer[tls.Certificate]
}

// Is tells whether an application server has registered from a folder.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, certificateFile))
	return err == nil
}

// Register registers with a one-time token, and opens the registration. An application server
// that has registered already does so anew.
func Register(ctx context.Context, o Options, token string) (*Registration, error) {
	r, err := begin(o, true)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	if err := r.register(ctx, token); err != nil {
		r.Close()
		return nil, fmt.Errorf("register: %w", err)
	}
	return r, nil
}

// Open opens a registration, or fails with [ErrNotRegistered].
func Open(o Options) (*Registration, error) {
	r, err := begin(o, false)
	if err == nil {
		if err = r.load(); err != nil {
			r.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	return r, nil
}

// begin reads the keys, and if they may be new makes those that are not there.
func begin(o Options, mayBeNew bool) (*Registration, error) {
	r := &Registration{dir: o.Dir, log: o.Logger, clock: o.Clock}
	if r.log == nil {
		r.log = slog.Default()
	}
	if r.clock == nil {
		r.clock = time.Now
	}
	if o.Dir == "" {
		return nil, errors.New("Options need Dir")
	}
	if mayBeNew {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	if r.key, err = readKey(r.path(keyFile), mayBeNew); err != nil {
		return nil, err
	}
	if r.sealing, err = readSealing(r.path(sealingFile), mayBeNew); err != nil {
		return nil, err
	}
	r.client, err = api.NewClient(o.Platform, api.ClientOptions{RootCAs: o.RootCAs, Certificate: r.certificate})
	return r, err
}

func (r *Registration) path(name string) string { return filepath.Join(r.dir, name) }

// certificate is for the TLS handshakes with the platform.
func (r *Registration) certificate() (*tls.Certificate, error) {
	if c := r.current.Load(); c != nil {
		return c, nil
	}
	return &tls.Certificate{}, nil // there is none yet
}

func (r *Registration) register(ctx context.Context, token string) error {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, r.key)
	if err != nil {
		return err
	}
	public, err := api.SealPublic(r.sealing)
	if err != nil {
		return err
	}
	done, err := r.client.RegisterAppServer(ctx, api.Registration{Token: strings.TrimSpace(token), CSR: csr, SealingKey: public})
	if api.HasCode(err, api.CodeTokenUsed) {
		return fmt.Errorf("%w (the keys here are in %s)", err, r.dir)
	}
	if err != nil {
		return err
	}
	return r.take(done)
}

// take keeps a certificate and goes on with it.
func (r *Registration) take(done api.Registered) error {
	pair, err := r.pair([]byte(done.Chain))
	if err != nil {
		return fmt.Errorf("the platform's certificate: %w", err)
	}
	if err := durable.Replace(r.path(certificateFile), []byte(done.Chain), 0o644); err != nil {
		return err
	}
	r.current.Store(pair)
	r.client.Close() // connections show the certificate with which they began
	return nil
}

func (r *Registration) load() error {
	chain, err := os.ReadFile(r.path(certificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotRegistered
	}
	if err != nil {
		return err
	}
	pair, err := r.pair(chain)
	if err != nil {
		return fmt.Errorf("%s: %w", r.path(certificateFile), err)
	}
	r.current.Store(pair)
	return nil
}

// pair is a chain with the key.
func (r *Registration) pair(chain []byte) (*tls.Certificate, error) {
	pair := &tls.Certificate{PrivateKey: r.key}
	for rest := chain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		pair.Certificate = append(pair.Certificate, block.Bytes)
	}
	if len(pair.Certificate) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	if !r.key.PublicKey.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("it is not for the key in %s", keyFile)
	}
	pair.Leaf = leaf
	return pair, nil
}

// Client speaks to the platform as this application server.
func (r *Registration) Client() *api.Client { return r.client }

// SealingKey is the private key that PSKs are sealed to, for [appserver.Options].
func (r *Registration) SealingKey() []byte { return slices.Clone(r.sealing) }

// Ends is when the certificate does.
func (r *Registration) Ends() time.Time { return r.current.Load().Leaf.NotAfter }

// Close drops the connections to the platform, and clears the sealing key.
func (r *Registration) Close() {
	if r.client != nil {
		r.client.Close()
	}
	clear(r.sealing)
}

// due is when the certificate is renewed: at two thirds of its life.
func (r *Registration) due() time.Time {
	leaf := r.current.Load().Leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

// Renew has the platform certify the key once more, now.
func (r *Registration) Renew(ctx context.Context) error {
	done, err := r.client.RenewAppServer(ctx)
	if err == nil {
		err = r.take(done)
	}
	if err != nil {
		return fmt.Errorf("renew the registration: %w", err)
	}
	return nil
}

// The waits of Keep. The clock is looked at every so often, since it may be set.
const (
	lookEvery  = 10 * time.Minute
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// Keep renews the certificate whenever that is due, until ctx ends. What fails is logged and tried again.
func (r *Registration) Keep(ctx context.Context) {
	retry := firstRetry
	for {
		wait := min(r.due().Sub(r.clock()), lookEvery)
		if wait <= 0 {
			err := r.Renew(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				r.log.Info("the registration was renewed", "ends", r.Ends())
				retry = firstRetry
				continue
			}
			r.log.Error("the registration cannot be renewed; it is tried again", "ends", r.Ends(), "error", err)
			wait, retry = retry, min(2*retry, lastRetry)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// private reads a file that nobody else may read.
func private(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has mode %04o: a private key that others can read is no secret; if you trust it still, run chmod 600 on it", path, mode)
	}
	return os.ReadFile(path)
}

func readKey(path string, mayBeNew bool) (*ecdsa.PrivateKey, error) {
	text, err := private(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mayBeNew:
		return makeKey(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNotRegistered
	case err != nil:
		return nil, err
	}
	defer clear(text)
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key in PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if key, ok := key.(*ecdsa.PrivateKey); ok && key.Curve == elliptic.P256() {
		return key, nil
	}
	return nil, fmt.Errorf("%s holds no key on P-256", path)
}

func makeKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, durable.Replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func readSealing(path string, mayBeNew bool) ([]byte, error) {
	text, err := private(path)
	if errors.Is(err, fs.ErrNotExist) && mayBeNew {
		key, _, err := api.GenerateSealKey()
		if err != nil {
			return nil, err
		}
		return key, durable.Replace(path, []byte(hex.EncodeToString(key)+"\n"), 0o600)
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != api.SealKeySize {
		return nil, fmt.Errorf("%s holds no key of %d bytes in hexadecimal", path, api.SealKeySize)
	}
	return key, nil
}
