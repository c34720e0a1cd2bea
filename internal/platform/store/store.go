// Package store says how the platform keeps what must not be lost: as rows that any
// relational database can hold, changed in transactions.
//
// A [Store] has one order of commits for everything. The feed's sequence numbers follow
// it without gaps, because an event is numbered in the transaction that makes the change.
//
// The package holds no rule about what may follow what; that is for registry and
// credential. It does hold the last line of defence: no store keeps two active or
// two unfinished credentials of one SIM.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/simroot/simroot/api"
)

// Sentinels for what callers decide upon.
var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("store: not found")
	// ErrExists: a row with this key, or in this unique place, is there already.
	ErrExists = errors.New("store: exists already")
	// ErrUnknown: whether the change was made is not known. The connection to the database was lost at
	// its commit, and the database did not tell afterwards.
	ErrUnknown = errors.New("store: whether the change was made is not known")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
)

// Store runs transactions. It is safe for concurrent use.
type Store interface {
	// View runs fn on a snapshot that holds every change acknowledged before the call.
	// Changes that fn tries to make fail.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn in a transaction and returns nil when that is synced to disk. If
	// fn fails or panics nothing has changed, and its error is returned. Functions run
	// one after the other; several may share one commit, so fn must be short and
	// must not call the store. A transaction that the database has undone (a deadlock, a lost connection,
	// a statement of another update that failed late) is run again, and fn with it: what fn leaves outside of the transaction must be the same after
	// one run as after several. ErrUnknown is the one error after which fn may have been carried out.
	//
	// An end of ctx counts until fn begins; from then on Update waits for the outcome. A change
	// that finds its row missing, or its place taken, may say so only when a later
	// statement is carried out or fn has returned: in any case the update then fails.
	Update(ctx context.Context, fn func(Tx) error) error

	// Head is the sequence number of the last event, and a channel that is closed when
	// there is a further one.
	Head() (seq int64, changed <-chan struct{})

	// Close waits for the transaction that is running and ends the store.
	Close() error
}

// Tx is a transaction. It is good only inside the function it is given to. Times are kept
// to the microsecond, in UTC. Lists are ordered by key, begin after the given one, and
// have at most limit rows.
type Tx interface {
	Fleets
	SIMs
	Credentials
	EnrolmentSecrets
	Tokens
	AppServers
	Answers
	History
	Revocations
	Envelopes
	Campaigns
	Batches
	TransportKeys
	Nodes
	ServerCertificates
	CAs

	// Setting returns a named value of the installation, or ErrNotFound.
	Setting(name string) (string, error)
	// SetSetting sets it.
	SetSetting(name, value string) error
}

// Fleets are the rows of fleets, by name. What a profile left open when it was stored is read as
// [api.Profile.WithDefaults] fills it today.
type Fleets interface {
	InsertFleet(api.Fleet) error // ErrExists
	Fleet(name string) (api.Fleet, error)
	ListFleets(after string, limit int) ([]api.Fleet, error)
	// UpdateFleet changes Profile and Version.
	UpdateFleet(api.Fleet) error
}

// SIM is the row of a SIM.
type SIM struct {
	api.SIM
	KeyVersion byte
	Domain     []byte // AID of the security domain
	Keys       []byte // in an envelope
	// Anchors is the set of trust anchors that the SIM is known to hold, "" if none is.
	Anchors string
	// Session is the relay session in which the SIM proved itself last, by a name that its agent is not told:
	// no one can speak in the session who knows it.
	Session string
	// Batch is the ID of the batch that it came with.
	Batch string
}

// Standing is a SIM, and what decides whether it may have a credential.
type Standing struct {
	SIM   SIM
	Fleet api.Fleet
	// Revoked is what [Credentials.WasRevoked] tells.
	Revoked bool
}

// SIMFilter restricts a list; empty fields restrict nothing.
type SIMFilter struct {
	Fleet string
	State api.SIMState
}

// SIMFleets are the fleets that a SIM has to do with.
type SIMFleets struct {
	Present string   // where it is
	Held    []string // of its credentials, those that have ended too: where it was
}

// SIMs are the rows of SIMs, by ICCID.
type SIMs interface {
	InsertSIM(SIM) error // ErrExists
	// InsertSIMs makes the rows of those that have none, the first of two with one ICCID, and returns the
	// ICCIDs of those that it has made, in any order.
	InsertSIMs([]SIM) (made []string, err error)
	SIM(iccid string) (SIM, error)
	Standing(iccid string) (Standing, error)
	ListSIMs(f SIMFilter, after string, limit int) ([]SIM, error)
	// FleetsOf tells of which fleets SIMs are. Those that are not there are left out.
	FleetsOf(iccids []string) (map[string]SIMFleets, error)
	// UpdateSIM changes Fleet, State, Session, Updated, LastSeen, Attributes, Replaces and Anchors.
	UpdateSIM(SIM) error
}

// Credential is the row of a credential.
type Credential struct {
	api.Credential
	PublicKey []byte // SubjectPublicKeyInfo in DER, from keyed on
	Secret    []byte // of a PSK, in an envelope, while it is of use
	// RevokedFrom is the state in which a revocation found it.
	RevokedFrom api.CredentialState
}

// Step is a credential, and what decides whether it may take a step.
type Step struct {
	Credential   Credential
	SIM          SIM
	FleetVersion int64 // of the credential's fleet
}

// CredentialFilter restricts a list; empty fields restrict nothing.
type CredentialFilter struct {
	ICCID, Fleet string
	State        api.CredentialState
}

// Credentials are the rows of credentials, by ID.
type Credentials interface {
	InsertCredential(Credential) error // ErrExists
	Credential(id string) (Credential, error)
	Step(id string) (Step, error)
	ListCredentials(f CredentialFilter, after string, limit int) ([]Credential, error)
	// UpdateCredential changes all but ID, ICCID, Fleet, Type, Slot and Created.
	UpdateCredential(Credential) error
	// CredentialsOf returns all credentials of a SIM that are not final, and the
	// superseded certificates that have not expired at now.
	CredentialsOf(iccid string, now time.Time) ([]Credential, error)
	// CredentialBySerial finds a certificate by its serial number.
	CredentialBySerial(serial string) (Credential, error)
	// WasRevoked tells whether a credential of the SIM was revoked while it was in use
	// or under way.
	WasRevoked(iccid string) (bool, error)
	// RequestedSince tells how many credentials of the SIM were created after a time, and when
	// the first of them was; zero if none.
	RequestedSince(iccid string, since time.Time) (n int, first time.Time, err error)
	// Ended returns certificates of the SIM that have expired or that are active, those that end
	// last first.
	Ended(iccid string, limit int) ([]Credential, error)
	// KeySince is when the first credential of the SIM with this public key was created; zero if there
	// is none.
	KeySince(iccid string, publicKey []byte) (time.Time, error)
	// LastEnd is when the last certificate or PSK ends that is in use: of the credentials that are not final,
	// the servers' certificates that were not revoked, the application servers that were not withdrawn. Zero if
	// there is none.
	LastEnd() (time.Time, error)
	// Expiring returns credentials that are not final although their end has come.
	Expiring(now time.Time, limit int) ([]Credential, error)
}

// EnrolmentSecret is the row of a one-time secret with which a SIM's device enrols.
type EnrolmentSecret struct {
	ICCID   string
	Hash    [32]byte // see [api.EnrolmentHash]
	Created time.Time
	// Credential is what it was used for; empty: it was not used yet.
	Credential string
}

// EnrolmentSecrets are the rows of one-time secrets, at most one of each SIM.
type EnrolmentSecrets interface {
	// SetEnrolmentSecret puts a secret in the place of the one before it.
	SetEnrolmentSecret(EnrolmentSecret) error
	EnrolmentSecret(iccid string) (EnrolmentSecret, error)
}

// History is what happened, in the order of commits.
type History interface {
	// AppendEvent numbers an event and returns its sequence number.
	AppendEvent(api.Event) (int64, error)
	Events(after int64, limit int) ([]api.Event, error)
	// AppendAudit numbers an entry, chains it to the one before ([Chain]), and returns its
	// sequence number.
	AppendAudit(api.AuditEntry) (int64, error)
	Audit(after int64, limit int) ([]api.AuditEntry, error)
}

// Node is a process that serves the platform, on a database that several may share.
type Node struct {
	ID          string
	Address     string // where other nodes reach it: HOST:PORT
	Fingerprint []byte // SHA-256 of its TLS certificate
	Seen        time.Time
}

// Nodes are the rows of nodes, by ID.
type Nodes interface {
	// PutNode makes the row of a node, or replaces it.
	PutNode(Node) error
	Node(id string) (Node, error)
	// HasNode tells whether there is a node with a certificate.
	HasNode(fingerprint []byte) (bool, error)
	// DeleteNode deletes the row if there is one.
	DeleteNode(id string) error
	// DeleteNodes deletes those that were last seen before a time.
	DeleteNodes(before time.Time) error
}

// EnvelopeKind is where an envelope (package envelope) is kept.
type EnvelopeKind string

// The kinds of envelopes.
const (
	SIMEnvelope        EnvelopeKind = "sim"        // the keys of a SIM, by ICCID
	CredentialEnvelope EnvelopeKind = "credential" // a PSK, by ID
	TransportEnvelope  EnvelopeKind = "transport"  // a private transport key, by its public half
	AnswerEnvelope     EnvelopeKind = "answer"     // what a request was answered, by its principal and key with a space between
)

// EnvelopeKinds are all of them.
var EnvelopeKinds = []EnvelopeKind{SIMEnvelope, CredentialEnvelope, TransportEnvelope, AnswerEnvelope}

// Envelope is a stored secret.
type Envelope struct {
	Kind   EnvelopeKind
	Key    string
	Sealed []byte
}

// Record is the name that the envelope is bound to.
func (e Envelope) Record() string { return string(e.Kind) + " " + e.Key }

// Envelopes are the stored secrets of all kinds, by the key-encryption key they are under.
type Envelopes interface {
	// EnvelopesNotUnder lists those of a kind that are under any other key than the given.
	EnvelopesNotUnder(kind EnvelopeKind, kek [8]byte, after string, limit int) ([]Envelope, error)
	// ReplaceEnvelope puts another envelope in the place of one, or fails with ErrNotFound
	// if that is not there any more.
	ReplaceEnvelope(old Envelope, sealed []byte) error
	// CountEnvelopes counts them; those that name no key (version 1) are under the zero one. It
	// reads all rows.
	CountEnvelopes() (map[[8]byte]int, error)
}

// BatchState is how far the import of a batch is.
type BatchState string

// The states of a batch.
const (
	BatchLoading    BatchState = "loading"    // its SIMs come in, and are there for nobody else yet
	BatchAnnouncing BatchState = "announcing" // its SIMs are there, and are being put on the feed
	BatchComplete   BatchState = "complete"
)

// Batch is the row of a batch of SIMs.
type Batch struct {
	ID                 string
	Fleet              string
	State              BatchState
	Imported, Rejected int
	Announced          string // the ICCID of the last SIM that is on the feed
	Updated            time.Time
}

// Batches are the batches that were imported, or are about to be. [SIMs] leaves out the SIMs of
// a batch that is loading, so that all of them appear at once.
type Batches interface {
	InsertBatch(Batch) error // ErrExists
	Batch(id string) (Batch, error)
	// UpdateBatch changes all but ID and Fleet.
	UpdateBatch(Batch) error
	// UnfinishedBatches lists those that are not complete and were last updated before.
	UnfinishedBatches(before time.Time) ([]Batch, error)
	DeleteBatch(id string) error
	// BatchOf tells of any SIM, of loading batches too, with which batch it came.
	BatchOf(iccid string) (string, error)
	// SIMsOfBatch lists SIMs, of loading batches too. It reads on from after until it has enough.
	SIMsOfBatch(batch, after string, limit int) ([]SIM, error)
	// DeleteSIMsOfBatch removes the SIMs of a batch that lie behind after, up to to.
	DeleteSIMsOfBatch(batch, after, to string) error
}
