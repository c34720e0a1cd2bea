package store

import (
	"time"

	"github.com/simroot/simroot/api"
)

// Shards is into how many parts the revoked certificates are divided: by the last byte of the serial
// number, modulo this. A certificate names its part, so the number never changes.
const Shards = 64

// CRL reason codes (RFC 5280, 5.3.1) that are no reason for a revocation.
const (
	CertificateHold = 6 // the SIM is suspended
	RemoveFromCRL   = 8 // it was on hold and is no more: only a delta tells
)

// RevokedCertificate is a certificate that stands on the CRL, or stood there on hold.
type RevokedCertificate struct {
	Serial   string // hexadecimal
	Shard    int
	Code     int // CRLReason
	Since    time.Time
	NotAfter time.Time
	Revision int64 // in which it came to be so
}

// Revision is a state of what belongs on the CRL.
type Revision struct {
	Number int64
	Time   time.Time
}

// Revocations are what the CRL and OCSP answers are made from.
type Revocations interface {
	// Revision counts what has changed what belongs on the CRL.
	Revision() (Revision, error)
	// NewRevision raises it and returns its number. What changes at one time in one transaction is one revision.
	NewRevision(at time.Time) (int64, error)
	// Refreshed is the last revision in which all lists were made anew because of their age.
	Refreshed() (Revision, error)
	// Refresh raises the revision for that purpose: by 1, or by more if numbers above the present one may
	// have been given out.
	Refresh(at time.Time, by int64) error

	// PutRevoked stores the row of a certificate in the place of the one it may have.
	PutRevoked(RevokedCertificate) error
	// RevokedCertificate finds one by its serial number, or ErrNotFound.
	RevokedCertificate(serial string) (RevokedCertificate, error)
	// RevokedInShard returns those of a shard that have not expired at now and are not removed.
	RevokedInShard(shard int, now time.Time) ([]RevokedCertificate, error)
	// RevokedAfter returns what has changed after a revision and has not expired at now, with
	// what was removed.
	RevokedAfter(revision int64, now time.Time) ([]RevokedCertificate, error)
	// LastRevisionInShard is when a shard has changed last, zero if never.
	LastRevisionInShard(shard int) (Revision, error)
	// RevisionBefore is the last revision, among those that have changed a certificate, before
	// the first one after a time. It is 0 if there is none.
	RevisionBefore(at time.Time) (int64, error)

	// CertificateKnown tells whether a SIM's, a server's or an application server's certificate has this serial
	// number.
	CertificateKnown(serial string) (bool, error)
}

// ServerCertificate is the row of a server's certificate.
type ServerCertificate struct {
	api.IssuedServerCertificate
	ID string // sorts by age
}

// ServerCertificates are the rows of the certificates of servers, by age.
type ServerCertificates interface {
	InsertServerCertificate(ServerCertificate) error // ErrExists
	ServerCertificate(serial string) (ServerCertificate, error)
	ListServerCertificates(after string, limit int) ([]ServerCertificate, error)
	// RevokeServerCertificate sets Revoked and Reason.
	RevokeServerCertificate(serial string, at time.Time, reason api.RevocationReason) error
}
