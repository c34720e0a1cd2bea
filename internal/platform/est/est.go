// Package est enrols devices over EST: Enrollment over Secure Transport (RFC 7030), with the
// encodings of RFC 8951. It is for devices whose SIM has a key but no agent: they bring a
// PKCS#10 request, and get the same credentials that the relay gives.
//
// The label is the fleet. What a certificate says comes from the fleet and from who has
// identified himself, never from the request; a request that disagrees is refused with the
// field's name. Whoever enrols identifies himself by a certificate from the factory that leads
// to a root of the fleet, by a credential that is in use, or by a one-time secret.
//
// It never keeps a private key, and never answers before the credential is on disk.
package est

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// Registry knows fleets.
type Registry interface {
	Fleet(ctx context.Context, name string) (api.Fleet, error)
}

// Life gives credentials.
type Life interface {
	// ByCertificate fails with store.ErrNotFound for what is no credential.
	ByCertificate(context.Context, *x509.Certificate) (api.Credential, error)
	Used(ctx context.Context, id string) error
	Enrol(context.Context, credential.Enrolment) (credential.Record, error)
}

// Authority knows the CA's certificates.
type Authority interface {
	Anchors() []byte // PEM: the roots, two while one follows the other
	Issuers() []byte // PEM
}

// Service answers requests. It is safe for concurrent use.
type Service struct {
	registry  Registry
	life      Life
	authority Authority
	now       func() time.Time
	factories factories
	fleets    fleets
}

// New returns a service. A nil clock means time.Now.
func New(r Registry, l Life, a Authority, now func() time.Time) *Service {
	return &Service{registry: r, life: l, authority: a, now: clock.Of(now)}
}

// Request is one request for a certificate.
type Request struct {
	Fleet string
	CSR   []byte // PKCS#10, DER in base64
	// User and Password are those of HTTP Basic authentication; Basic tells that they were given.
	Basic          bool
	User, Password string
	Connection     *tls.ConnectionState
}

// CACerts is the roots and the issuing CAs (RFC 7030, 4.1), certs-only PKCS#7 in base64. A device
// that presents a credential that was delivered to it shows by this that it has arrived.
func (s *Service) CACerts(ctx context.Context, fleet string, connection *tls.ConnectionState) ([]byte, error) {
	if _, err := s.fleet(ctx, fleet); err != nil {
		return nil, err
	}
	if connection != nil && len(connection.PeerCertificates) > 0 {
		if c, err := s.life.ByCertificate(ctx, connection.PeerCertificates[0]); err == nil && c.State == api.Delivered {
			if err := s.life.Used(ctx, c.ID); err != nil {
				return nil, err
			}
		}
	}
	var all [][]byte
	for _, text := range [][]byte{s.authority.Anchors(), s.authority.Issuers()} {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			all = append(all, block.Bytes)
		}
	}
	content, err := certsOnly(all...)
	return encode(content), err
}

// CSRAttributes is what a request should hold (RFC 7030, 4.5), in base64.
func (s *Service) CSRAttributes(ctx context.Context, fleet string) ([]byte, error) {
	f, err := s.fleet(ctx, fleet)
	if err != nil {
		return nil, err
	}
	content, err := attributes(f.Profile.EST.RequireChannelBinding)
	return encode(content), err
}

// Enrol gives a device its first certificate, or another (RFC 7030, 4.2.1): certs-only PKCS#7 in base64.
func (s *Service) Enrol(ctx context.Context, r Request) (certificate []byte, err error) {
	err = s.within(ctx, r.Fleet, func(fleet api.Fleet) error {
		who, err := s.identify(ctx, r, fleet)
		if err != nil {
			return err
		}
		csr, err := who.check(r)
		if err != nil {
			return err
		}
		certificate, err = s.issue(ctx, who, csr.key)
		return err
	})
	return certificate, err
}

// Reenrol renews the certificate that the device presents, under the same key or another
// (RFC 7030, 4.2.2): certs-only PKCS#7 in base64.
func (s *Service) Reenrol(ctx context.Context, r Request) (certificate []byte, err error) {
	err = s.within(ctx, r.Fleet, func(fleet api.Fleet) error {
		who, err := s.identify(ctx, r, fleet)
		if err != nil {
			return err
		}
		if who.presented == nil {
			return unauthorized("a renewal takes the certificate that is to be renewed, in the TLS handshake: for the first one, use simpleenroll")
		}
		csr, err := who.check(r)
		if err != nil {
			return err
		}
		if !partOf(csr.subject, who.presented.Subject) {
			return refuse.BadRequest("csr.subject: %q is not that of the certificate that is to be renewed, %q (RFC 7030, 4.2.2)", csr.subject, who.presented.Subject)
		}
		certificate, err = s.issue(ctx, who, csr.key)
		return err
	})
	return certificate, err
}

// ServerKeygen makes a key pair for a device and its certificate (RFC 7030, 4.4): the private key
// as PKCS#8, and certs-only PKCS#7, both in base64. The caller clears the key once it is sent.
func (s *Service) ServerKeygen(ctx context.Context, r Request) (key, certificate []byte, err error) {
	var pair *ecdsa.PrivateKey
	err = s.within(ctx, r.Fleet, func(fleet api.Fleet) error {
		if !fleet.Profile.EST.ServerKeygen {
			return refuse.With(api.CodeForbidden, http.StatusForbidden, "fleet %s does not let the platform make keys: make one in the SIM, and use simpleenroll", r.Fleet)
		}
		who, err := s.identify(ctx, r, fleet)
		if err != nil {
			return err
		}
		csr, err := who.check(r)
		if err != nil {
			return err
		}
		if csr.encrypt {
			return refuse.BadRequest("csr.attributes: an encrypted private key is asked for (RFC 7030, 4.4.1): this platform protects it by TLS alone")
		}
		if pair, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return err
		}
		certificate, err = s.issue(ctx, who, &pair.PublicKey)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	content, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return nil, nil, err
	}
	defer clear(content)
	return encode(content), certificate, nil
}

// issue has a certificate made for a key.
func (s *Service) issue(ctx context.Context, who identity, key *ecdsa.PublicKey) ([]byte, error) {
	e := who.enrolment
	e.Key = key
	record, err := s.life.Enrol(ctx, e)
	if err != nil {
		return nil, err
	}
	content, err := certsOnly(record.Certificate)
	return encode(content), err
}
