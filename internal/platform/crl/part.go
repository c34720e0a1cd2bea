package crl

import (
	"sync"
	"time"

	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/store"
)

// part is the entries of one shard as they were read last. The shard's list and the complete one are put
// together from it, so that a revocation costs either the reading of one shard, however many certificates
// stand in the others.
type part struct {
	mu       sync.Mutex
	known    bool
	revision int64     // of the shard
	at       time.Time // what had expired by then is left out
	ends     time.Time // when the first of the entries expires; zero if there is none
	der      []byte
}

// entries returns those of certificates that have not expired at a time, in DER, by serial number. It must not be
// changed. What the store says of the shard is the same for as long as its revision is.
func (p *part) entries(tx store.Tx, of ca.Issuing, shard int, at time.Time) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, err := tx.LastRevisionInShard(shard)
	if err != nil {
		return nil, err
	}
	if p.known && p.revision == last.Number && !at.Before(p.at) && (p.ends.IsZero() || at.Before(p.ends)) {
		return p.der, nil
	}
	rows, err := tx.RevokedInShard(shard, at)
	if err != nil {
		return nil, err
	}
	der, err := appendEntries(make([]byte, 0, len(p.der)), of, rows)
	if err != nil {
		return nil, err
	}
	p.known, p.revision, p.at, p.ends, p.der = true, last.Number, at, time.Time{}, der
	for _, r := range rows {
		if p.ends.IsZero() || r.NotAfter.Before(p.ends) {
			p.ends = r.NotAfter
		}
	}
	return p.der, nil
}

// appendEntries appends the entries of those rows that are of a CA.
func appendEntries(der []byte, of ca.Issuing, revoked []store.RevokedCertificate) (_ []byte, err error) {
	for _, r := range revoked {
		if !of.Has(r.Serial) {
			continue
		}
		if der, err = ca.AppendCRLEntry(der, r.Serial, r.Since, r.Code); err != nil {
			return nil, err
		}
	}
	return der, nil
}
