package platform

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/servers"
	"github.com/simroot/simroot/internal/platform/store"
)

// renewServer is how long before its end the server's certificate is replaced.
const renewServer = 30 * 24 * time.Hour

// serverCertificate is the platform's own TLS certificate. It replaces itself in time, under
// the same key, and when it is revoked, under another. It is known to the platform as those of other servers are.
type serverCertificate struct {
	dir     folder
	safe    keyfile.Safe
	ca      *ca.CA
	servers *servers.Servers
	names   []string
	clock   func() time.Time
	current atomic.Pointer[tls.Certificate]
}

// openServerCertificate reads the certificate, and has a new one issued if there is
// none, or it is near its end, or its names or its CA are others.
func openServerCertificate(dir folder, rows store.Store, authority *ca.CA, o Options) (*serverCertificate, error) {
	s := &serverCertificate{
		dir: dir, safe: o.safe(), ca: authority, servers: servers.New(rows, authority, o.Clock), names: serverNames(o.Names), clock: o.Clock,
	}
	if err := s.refresh(); err != nil {
		return nil, fmt.Errorf("the server's certificate: %w", err)
	}
	return s, nil
}

// hostName is a machine's name that may stand in a certificate; not all may.
var hostName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)

// serverNames are the names by which this machine is known, and the given ones.
func serverNames(given []string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && hostName.MatchString(host) {
		names = append(names, host)
	}
	for _, name := range given {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// get is for [tls.Config].
func (s *serverCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current.Load(), nil
}

// refresh replaces the certificate if that is due, or if it was revoked: then its key too, which may have got out.
func (s *serverCertificate) refresh() error {
	now := s.current.Load()
	if now == nil {
		var err error
		if now, err = s.kept(); err != nil {
			return err
		}
	}
	if now != nil && s.good(now.Leaf) {
		// One of before these were known, or since the backup that was restored, is replaced.
		row, err := s.servers.Find(context.Background(), ca.SerialText(now.Leaf.SerialNumber))
		switch {
		case err == nil && row.Revoked.IsZero():
			s.current.Store(now)
			return nil
		case err == nil:
			if err := os.Remove(s.dir.serverKey()); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	key, err := s.key()
	if err != nil {
		return err
	}
	defer clear(key)
	pair, err := s.issue(key)
	if err != nil {
		return err
	}
	s.current.Store(&pair)
	return nil
}

// kept is the certificate in the folder, nil if there is none that goes with the key.
func (s *serverCertificate) kept() (*tls.Certificate, error) {
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	defer clear(key)
	chain, err := os.ReadFile(s.dir.serverChain())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, nil
	}
	return &pair, nil
}

// key is the key in the folder, in PEM, a new one if there is none. The caller clears it.
func (s *serverCertificate) key() ([]byte, error) {
	key, err := s.safe.Read(s.dir.serverKey())
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	if err := createKey(s.dir.serverKey(), s.safe); err != nil {
		return nil, err
	}
	return s.safe.Read(s.dir.serverKey())
}

// issue has a certificate issued for the key and keeps it.
func (s *serverCertificate) issue(keyPEM []byte) (tls.Certificate, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %w", s.dir.serverKey(), err)
	}
	leaf, err := s.servers.Issue(context.Background(), audit.Platform, s.names, key.Public())
	if err != nil {
		return tls.Certificate{}, err
	}
	chain := s.ca.Chain(leaf)
	if err := replace(s.dir.serverChain(), chain); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, keyPEM)
}

// good tells whether a certificate will do for a while.
func (s *serverCertificate) good(leaf *x509.Certificate) bool {
	now := s.clock()
	if now.Before(leaf.NotBefore) || now.Add(renewServer).After(leaf.NotAfter) || leaf.CheckSignatureFrom(s.ca.Issuer()) != nil {
		return false
	}
	for _, name := range s.names {
		if leaf.VerifyHostname(name) != nil && !slices.Contains(leaf.DNSNames, name) {
			return false
		}
	}
	return true
}

// createKey makes a key on P-256 in a new file.
func createKey(file string, safe keyfile.Safe) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(der)
	return safe.Write(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("a key of type %T: want one on P-256", key)
}
