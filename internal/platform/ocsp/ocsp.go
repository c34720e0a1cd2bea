// Package ocsp tells whoever asks whether a certificate is good, revoked, or unknown (RFC 6960,
// and RFC 5019 for many who ask).
//
// A certificate whose SIM is suspended is revoked with certificateHold. Unknown is one that this
// platform has not issued. What was answered is kept and answered again, for as long as nothing has
// happened to that certificate and the answer is fresh: each time the store is asked, which costs
// a fraction of a signature. So a revocation shows in the next answer, on every node.
//
// Answers are signed by a key that is made when it is first needed and never leaves the process. Its
// certificate lives for a week, says that it need not be checked itself, and is replaced by one for a
// new key in time.
package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
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
	store   store.Store
	ca      *ca.CA
	now     func() time.Time
	issuers map[crypto.Hash]issuer

	mu     sync.Mutex
	signer *signer
	kept   map[string]kept // by CertID
}

// issuer is how requests name ours.
type issuer struct{ name, key []byte }

// New returns the responder of a CA. A nil clock means time.Now.
func New(s store.Store, c *ca.CA, now func() time.Time) (*Responder, error) {
	r := &Responder{store: s, ca: c, now: clock.Of(now), issuers: map[crypto.Hash]issuer{}, kept: map[string]kept{}}
	bits, err := publicKeyBits(c.Issuer())
	if err != nil {
		return nil, err
	}
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		r.issuers[h] = issuer{sum(h, c.Issuer().RawSubject), sum(h, bits)}
	}
	return r, nil
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
	statuses, ours, err := r.look(ctx, request.asked)
	switch {
	case err != nil:
		return Answer{DER: bare(internalError)}, fmt.Errorf("ocsp: %w", err)
	case !ours:
		return Answer{DER: bare(unauthorized)}, nil // RFC 5019, 2.2.3
	}
	answer, err := r.answer(ctx, request, statuses)
	if err != nil {
		return Answer{DER: bare(internalError)}, fmt.Errorf("ocsp: %w", err)
	}
	return answer, nil
}

// look finds the status of each certificate, and whether any has our issuer.
func (r *Responder) look(ctx context.Context, asked []certID) (all []status, ours bool, err error) {
	all = make([]status, len(asked))
	err = r.store.View(ctx, func(tx store.Tx) error {
		for i, id := range asked {
			issuer, known := r.issuers[id.hash]
			if !known || !bytes.Equal(issuer.name, id.nameHash) || !bytes.Equal(issuer.key, id.keyHash) {
				continue
			}
			ours = true
			var err error
			if all[i], err = statusOf(tx, ca.SerialText(id.serial)); err != nil {
				return err
			}
		}
		return nil
	})
	return all, ours, err
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
func (r *Responder) answer(ctx context.Context, request request, statuses []status) (Answer, error) {
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
	s, err := r.current(ctx, now)
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

// current is the signer, a new one if the present one is near its end.
func (r *Responder) current(ctx context.Context, now time.Time) (*signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.signer; s != nil && now.Before(s.certificate.NotAfter.Add(-renewal)) && !now.Before(s.certificate.NotBefore) {
		return s, nil
	}
	s, err := newSigner(r.certify(ctx), now)
	if err != nil {
		return nil, err
	}
	r.signer = s
	clear(r.kept)
	return s, nil
}

// certify has a key certified, which the audit log shows.
func (r *Responder) certify(ctx context.Context) func(crypto.PublicKey, time.Time) (*x509.Certificate, error) {
	return func(key crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
		c, err := r.ca.IssueResponder(key, now)
		if err != nil {
			return nil, err
		}
		return c, r.store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
			return audit.Append(tx, api.AuditEntry{Time: now, Actor: audit.Platform, Action: "ocsp.certified", Subject: ca.SerialText(c.SerialNumber)})
		})
	}
}
