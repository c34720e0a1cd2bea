package est

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// identity is who enrols.
type identity struct {
	enrolment credential.Enrolment // without the key
	presented *x509.Certificate    // the credential in use, if that is what was presented
}

// identify finds out who enrols. A one-time secret, if there is one, comes before a certificate,
// which a device may present out of habit.
func (s *Service) identify(ctx context.Context, r Request, fleet api.Fleet) (identity, error) {
	who := identity{enrolment: credential.Enrolment{Fleet: fleet}}
	e := &who.enrolment
	if r.Basic {
		if r.User == "" || r.Password == "" {
			return who, unauthorized("the user name is the SIM's ICCID and the password its one-time enrolment secret: one of them is missing")
		}
		e.ICCID, e.Secret, e.Note = r.User, r.Password, "over EST, by its one-time secret"
		if _, err := card.ParseICCID(r.User); err != nil {
			return who, unauthorized("user name: %v", err)
		}
		return who, nil
	}
	if r.Connection == nil || len(r.Connection.PeerCertificates) == 0 {
		return who, unauthorized("present the SIM's factory certificate or its current one in the TLS handshake, or give its ICCID and one-time secret as user name and password")
	}
	chain := r.Connection.PeerCertificates
	c, err := s.life.ByCertificate(ctx, chain[0])
	switch {
	case err == nil:
		e.ICCID, e.Presented, e.Note = c.ICCID, c.ID, "over EST, by credential "+c.ID
		who.presented = chain[0]
		return who, nil
	case !errors.Is(err, store.ErrNotFound):
		return who, err
	}
	if e.ICCID, err = s.factories.iccid(chain, *fleet.Profile.EST, s.now()); err != nil {
		return who, err
	}
	e.Note = "over EST, by its factory certificate"
	return who, nil
}

// check reads the request and holds it against who sends it, the connection and the fleet.
func (who identity) check(r Request) (*request, error) {
	csr, err := parseRequest(r.CSR)
	if err != nil {
		return nil, err
	}
	if err := csr.bound(r.Connection, *who.enrolment.Fleet.Profile.EST); err != nil {
		return nil, err
	}
	return csr, csr.speaksOf(who.enrolment.ICCID)
}

// factories are the roots of factory certificates, as pools, by the text in the fleet's settings.
type factories struct {
	mu    sync.Mutex
	pools map[[sha256.Size]byte]*x509.CertPool
}

// maxPools bounds how many are kept.
const maxPools = 256

func (f *factories) pool(policy api.EST) (*x509.CertPool, error) {
	key := sha256.Sum256([]byte(policy.FactoryRoots))
	f.mu.Lock()
	defer f.mu.Unlock()
	if pool := f.pools[key]; pool != nil {
		return pool, nil
	}
	roots, err := policy.Roots()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	if f.pools == nil || len(f.pools) == maxPools {
		f.pools = map[[sha256.Size]byte]*x509.CertPool{}
	}
	f.pools[key] = pool
	return pool, nil
}

// iccid checks a factory certificate and reads whose it is. That the device has its key was
// proved in the handshake.
func (f *factories) iccid(chain []*x509.Certificate, policy api.EST, now time.Time) (string, error) {
	leaf := chain[0]
	if policy.FactoryRoots == "" {
		return "", unauthorized("the certificate that was presented (%s) is no credential of this platform, and the fleet accepts no factory certificates", leaf.Subject)
	}
	roots, err := f.pool(policy)
	if err != nil {
		return "", err
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	// IDevIDs need no extended key usage (IEEE 802.1AR, 8.8).
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return "", unauthorized("the certificate that was presented (%s) is neither a credential of this platform nor leads to a factory root of the fleet: %v", leaf.Subject, err)
	}
	text := leaf.Subject.SerialNumber
	if policy.ICCIDFrom == api.CommonNameAttribute {
		text = leaf.Subject.CommonName
	}
	iccid, err := card.ParseICCID(text)
	if err != nil {
		return "", unauthorized("the factory certificate's subject (%s) does not name a SIM: %v", leaf.Subject, err)
	}
	return string(iccid), nil
}

// unauthorized asks for identification.
func unauthorized(format string, args ...any) error {
	return refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, format, args...)
}
