// Package ocsp tells whoever asks whether a certificate is good, revoked, or unknown (RFC 6960,
// and RFC 5019 for many who ask).
//
// A certificate whose SIM is suspended is revoked with certificateHold. Unknown is one that this
// platform has not issued. What was answered is kept and answered again, for as long as nothing has
// happened to that certificate and the answer is fresh: each time the store is asked, which costs
// a fraction of a signature. So a revocation shows in the next answer, on every node.
//
// Each issuing CA whose certificates may be in use has a responder: answers about its certificates are signed
// under a certificate of that CA (RFC 6960, 4.2.2.2), by a key that is made when it is first needed and never
// leaves the process. The certificate lives for a week, says that it need not be checked itself, and is
// replaced by one for a new key in time.
package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/store"
)

const (
	validity  = time.Hour          // from thisUpdate to nextUpdate
	freshness = validity / 2       // after which an answer is signed anew
	renewal   = 2 * 24 * time.Hour // before its end the responder's certificate is replaced
	skew      = 5 * time.Minute
	maxKept   = 1 << 16 // answers
)

// Answer is an OCSP response.
type Answer struct {
	DER []byte
	// ThisUpdate and NextUpdate are zero if it holds no status, and must not be kept then.
	ThisUpdate, NextUpdate time.Time
	// Nonce: the answer is for this request alone.
	Nonce bool
}

// kind of a status.
type kind byte

const (
	unknown kind = iota
	good
	revoked
)

// status of a certificate.
type status struct {
	kind  kind
	since time.Time
	code  int // CRLReason
}

// kept is an answer with what it says.
type kept struct {
	says   status
	answer Answer
}

// Responder answers. It is safe for concurrent use.
type Responder struct {
	store store.Store
	ca    *ca.CA
	now   func() time.Time

	mu      sync.Mutex
	signers map[string]*signer // by the issuing CA's certificate
	kept    map[string]kept    // by CertID
}

// New returns the responder of a CA. A nil clock means time.Now.
func New(s store.Store, c *ca.CA, now func() time.Time) *Responder {
	return &Responder{store: s, ca: c, now: clock.Of(now), signers: map[string]*signer{}, kept: map[string]kept{}}
}

func sum(h crypto.Hash, b []byte) []byte {
	hash := h.New()
	hash.Write(b)
	return hash.Sum(nil)
}

// Answer answers a request in DER. What is wrong with the request is said in the answer; an error is
// one of the platform, whose answer says no more than that.
func (r *Responder) Answer(ctx context.Context, der []byte) (Answer, error) {
	request, err := parse(der)
	if err != nil {
		return Answer{DER: bare(malformedRequest)}, nil
	}
	issuers, err := r.issuers(request.asked)
	if err != nil {
		return Answer{DER: bare(internalError)}, fmt.Errorf("ocsp: %w", err)
	}
	of, one := single(issuers)
	if !one {
		return Answer{DER: bare(unauthorized)}, nil // RFC 5019, 2.2.3
	}
	statuses, err := r.look(ctx, request.asked, issuers)
	if err != nil {
		return Answer{DER: bare(internalError)}, fmt.Errorf("ocsp: %w", err)
	}
	answer, err := r.answer(ctx, of, request, statuses)
	if err != nil {
		return Answer{DER: bare(internalError)}, fmt.Errorf("ocsp: %w", err)
	}
	return answer, nil
}

// issuers finds the issuing CA of each certificate that is asked about, nil where it is not ours.
func (r *Responder) issuers(asked []certID) ([]*ca.Issuing, error) {
	trusted := r.ca.Trusted()
	all := make([]*ca.Issuing, len(asked))
	for n, id := range asked {
		for i := range trusted {
			same, err := names(id, trusted[i].Certificate)
			if err != nil {
				return nil, err
			}
			if same {
				all[n] = &trusted[i]
			}
		}
	}
	return all, nil
}

// names tells whether a request means certificates of this CA.
func names(id certID, issuer *x509.Certificate) (bool, error) {
	if id.hash == 0 || !bytes.Equal(id.nameHash, sum(id.hash, issuer.RawSubject)) {
		return false, nil
	}
	bits, err := publicKeyBits(issuer)
	return err == nil && bytes.Equal(id.keyHash, sum(id.hash, bits)), err
}

// single is the CA of those certificates whose issuer is ours. There is no answer for several: it is signed
// by a responder of one.
func single(issuers []*ca.Issuing) (of ca.Issuing, one bool) {
	for _, i := range issuers {
		if i == nil {
			continue
		}
		if one && i.Number != of.Number {
			return of, false
		}
		of, one = *i, true
	}
	return of, one
}

// look finds the status of each certificate.
func (r *Responder) look(ctx context.Context, asked []certID, issuers []*ca.Issuing) (all []status, err error) {
	all = make([]status, len(asked))
	err = r.store.View(ctx, func(tx store.Tx) error {
		for i, id := range asked {
			serial := ca.SerialText(id.serial)
			if issuers[i] == nil || !issuers[i].Has(serial) {
				continue
			}
			var err error
			if all[i], err = statusOf(tx, serial); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

func statusOf(tx store.Tx, serial string) (status, error) {
	row, err := tx.RevokedCertificate(serial)
	if err == nil && row.Code != store.RemoveFromCRL {
		return status{revoked, row.Since.Truncate(time.Second), row.Code}, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return status{}, err
	}
	known, err := tx.CertificateKnown(serial)
	if known {
		return status{kind: good}, err
	}
	return status{}, err
}

// answer finds an answer that was given before, or signs one.
func (r *Responder) answer(ctx context.Context, of ca.Issuing, request request, statuses []status) (Answer, error) {
	now := r.now().UTC().Truncate(time.Second)
	keep := request.nonce == nil && len(request.asked) == 1 && statuses[0].kind != unknown
	var key string
	if keep {
		key = string(request.asked[0].raw)
		r.mu.Lock()
		k, found := r.kept[key]
		r.mu.Unlock()
		if found && k.says == statuses[0] && now.Before(k.answer.ThisUpdate.Add(freshness)) && now.After(k.answer.ThisUpdate.Add(-skew)) {
			return k.answer, nil
		}
	}
	s, err := r.current(ctx, of, now)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{ThisUpdate: now, NextUpdate: now.Add(validity), Nonce: request.nonce != nil}
	if a.DER, err = s.sign(request.asked, statuses, request.nonce, now, a.NextUpdate); err != nil {
		return Answer{}, err
	}
	if keep {
		r.mu.Lock()
		if len(r.kept) >= maxKept {
			clear(r.kept)
		}
		r.kept[key] = kept{statuses[0], a}
		r.mu.Unlock()
	}
	return a, nil
}

// current is the signer for a CA, a new one if the present one is near its end.
func (r *Responder) current(ctx context.Context, of ca.Issuing, now time.Time) (*signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	raw := string(of.Certificate.Raw)
	if s := r.signers[raw]; s != nil && now.Before(s.certificate.NotAfter.Add(-renewal)) && !now.Before(s.certificate.NotBefore) {
		return s, nil
	}
	s, err := newSigner(r.certify(ctx, of), now)
	if err != nil {
		return nil, err
	}
	trusted := r.ca.Trusted()
	maps.DeleteFunc(r.signers, func(raw string, _ *signer) bool {
		return !slices.ContainsFunc(trusted, func(i ca.Issuing) bool { return string(i.Certificate.Raw) == raw })
	})
	r.signers[raw] = s
	clear(r.kept)
	return s, nil
}

// certify has a key certified by a CA, which the audit log shows.
func (r *Responder) certify(ctx context.Context, of ca.Issuing) func(crypto.PublicKey, time.Time) (*x509.Certificate, error) {
	return func(key crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
		c, err := r.ca.IssueResponder(of, key, now)
		if err != nil {
			return nil, err
		}
		return c, r.store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
			if err := of.On(tx); err != nil {
				return err
			}
			return audit.Append(tx, api.AuditEntry{Time: now, Actor: audit.Platform, Action: "ocsp.certified", Subject: ca.SerialText(c.SerialNumber)})
		})
	}
}
