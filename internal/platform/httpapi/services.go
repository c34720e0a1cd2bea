// Package httpapi is the platform's face on the network: it serves the contract of package
// api over HTTPS and decides who may do what. It holds no state and makes no decision about
// SIMs or credentials; the services behind it do.
//
// Every operation is described in the OpenAPI document that it serves. Every refusal leaves
// as [api.Error]; whatever else goes wrong is logged under the request's ID and answered
// without its inside. Tokens, bodies and queries never reach the log.
package httpapi

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/est"
	"github.com/simroot/simroot/internal/platform/ocsp"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/token"
)

// Services are what the handlers call. A service refuses with an [api.Error]; any other
// error is an internal one.
type Services struct {
	Registry    Registry
	Credentials Credentials
	Campaigns   Campaigns
	Rollover    Rollover
	Authority   Authority
	CRL         CRL
	OCSP        OCSP
	Servers     Servers
	Feed        Feed
	Relay       Relay
	EST         EST
	Tokens      Tokens
	AppServers  AppServers
	Audit       Audit
	Answers     Answers
	// KEKs tells which key-encryption keys are in use.
	KEKs   func(context.Context) (api.KEKStatus, error)
	Limits Limits
	// Watch is told what is served; nil: nobody is.
	Watch Watch
	// Health tells what keeps the platform from working; nil is good health.
	Health func(context.Context) error
}

// Registry knows fleets and SIMs.
type Registry interface {
	// TransportKey is the public key to which SIM keys in batches are sealed.
	TransportKey() []byte // nil: there is none that stands
	NewBatchKey(ctx context.Context, actor string, r api.BatchKeyRequest) (api.BatchKey, error)
	WithdrawBatchKey(ctx context.Context, actor string, public []byte) error
	BatchKeys(ctx context.Context, after string, limit int) (api.Page[api.BatchKey], error)
	CreateFleet(ctx context.Context, actor string, f api.Fleet) (api.Fleet, error)
	UpdateFleet(ctx context.Context, actor, name string, f api.Fleet) (api.Fleet, error)
	Fleet(ctx context.Context, name string) (api.Fleet, error)
	Fleets(ctx context.Context, after string, limit int) (api.Page[api.Fleet], error)
	ImportWith(ctx context.Context, actor, fleet string, batch io.Reader, o api.ImportOptions) (api.ImportResult, error)
	SIM(ctx context.Context, iccid string) (api.SIM, error)
	FleetsOf(ctx context.Context, iccids []string) (map[string]store.SIMFleets, error)
	SIMs(ctx context.Context, f registry.Filter, after string, limit int) (api.Page[api.SIM], error)
	SetAttributes(ctx context.Context, actor, iccid string, c api.AttributeChange) (api.SIM, error)
	Move(ctx context.Context, actor, iccid string, m api.Move) (api.SIM, error)
	Replace(ctx context.Context, actor, iccid string, r api.Replacement) (api.SIM, error)
	Suspend(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error)
	Resume(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error)
	Terminate(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error)
	NewEnrolmentSecret(ctx context.Context, actor, iccid string) (api.EnrolmentSecret, error)
}

// Credentials knows credentials.
type Credentials interface {
	Credential(ctx context.Context, id string) (api.Credential, error)
	Credentials(ctx context.Context, f credential.Filter, after string, limit int) (api.Page[api.Credential], error)
	Revoke(ctx context.Context, actor, id string, c api.Change) (api.Credential, error)
	RevokeSIM(ctx context.Context, actor, iccid string, c api.Change) ([]api.Credential, error)
	// Secrets are PSKs in clear, which the caller seals and wipes; those that shown refuses are not opened.
	Secrets(ctx context.Context, ids []string, shown func(api.Credential) error) ([]credential.Opened, error)
}

// Campaigns do one thing with a whole fleet.
type Campaigns interface {
	Create(ctx context.Context, actor string, r api.CampaignRequest) (api.Campaign, error)
	Campaign(ctx context.Context, id string) (api.Campaign, error)
	List(ctx context.Context, fleet, after string, limit int) (api.Page[api.Campaign], error)
	Results(ctx context.Context, id string, state api.CampaignSIMState, after string, limit int) (api.Page[api.CampaignSIM], error)
	Change(ctx context.Context, actor, id string, verb api.CampaignVerb, why api.Change) (api.Campaign, error)
}

// Rollover takes the platform from one CA to the next.
type Rollover interface {
	Status(ctx context.Context) (api.CARollover, error)
	Begin(ctx context.Context, actor string, why api.Change) (api.CARollover, error)
	Finish(ctx context.Context, actor string, f api.FinishRollover) (api.CARollover, error)
	Abort(ctx context.Context, actor string, why api.Change) (api.CARollover, error)
}

// Authority publishes and issues certificates.
type Authority interface {
	Anchors() []byte // PEM
	Issuers() []byte // PEM
	// Chain is what a server presents with this certificate (DER), in PEM.
	Chain(leaf []byte) []byte
	RootCRL() []byte // DER; nil: there is none
}

// CRL publishes the revocation lists of the issuing CAs, which have numbers: [crl.Present] is the one that issues.
type CRL interface {
	// All are all complete lists, the roots' too, in PEM.
	All(ctx context.Context) ([]byte, error)
	// Complete is one of them in DER.
	Complete(ctx context.Context, ca int) ([]byte, error)
	// Delta is what has changed on it lately.
	Delta(ctx context.Context, ca int) ([]byte, error)
	// Shard is one part of it.
	Shard(ctx context.Context, ca, shard int) ([]byte, error)
}

// OCSP tells the status of certificates.
type OCSP interface {
	// Answer answers a request in DER, also one that is malformed. With an error comes an answer
	// that says no more than that there was one.
	Answer(ctx context.Context, request []byte) (ocsp.Answer, error)
}

// Servers knows the certificates of servers.
type Servers interface {
	// Issue signs the certificate of a server and returns its DER. An error that
	// wraps ca.ErrLint is about what was asked for.
	Issue(ctx context.Context, actor string, names []string, key crypto.PublicKey) ([]byte, error)
	List(ctx context.Context, after string, limit int) (api.Page[api.IssuedServerCertificate], error)
	Revoke(ctx context.Context, actor, serial string, c api.Change) (api.IssuedServerCertificate, error)
}

// Feed is the ordered record of changes.
type Feed interface {
	ID() string
	Head() int64
	// Position is after the last event.
	Position(ctx context.Context) (api.FeedPosition, error)
	// Check fails with feed.ErrHistory if a position is not in the feed's history.
	Check(ctx context.Context, p api.FeedPosition) error
	// Read returns events after a position, or fails with feed.ErrHistory.
	Read(ctx context.Context, after api.FeedPosition, limit int) ([]api.Event, error)
	// State yields pages of the present state.
	State(ctx context.Context, now time.Time, yield func([]api.Event) error) error
	// Wait returns nil once there is an event after the given one, or the cause of ctx's end.
	Wait(ctx context.Context, after int64) error
}

// Relay carries out onboardings.
type Relay interface {
	Open(ctx context.Context, o api.RelayOpen) (api.RelayStep, error)
	Answer(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error)
}

// EST enrols devices. What it takes and gives is in base64.
type EST interface {
	CACerts(ctx context.Context, fleet string, connection *tls.ConnectionState) ([]byte, error)
	CSRAttributes(ctx context.Context, fleet string) ([]byte, error)
	Enrol(ctx context.Context, r est.Request) ([]byte, error)
	Reenrol(ctx context.Context, r est.Request) ([]byte, error)
	// ServerKeygen returns a private key in clear, which the caller clears.
	ServerKeygen(ctx context.Context, r est.Request) (key, certificate []byte, err error)
}

// Tokens knows tokens.
type Tokens interface {
	Authenticate(ctx context.Context, secret string) (token.Principal, error)
	Create(ctx context.Context, actor string, r api.TokenRequest) (api.NewToken, error)
	List(ctx context.Context, after string, limit int) (api.Page[api.Token], error)
	Withdraw(ctx context.Context, actor, id string) error
}

// AppServers knows application servers.
type AppServers interface {
	// Authenticate finds out whose certificate a TLS client has shown.
	Authenticate(ctx context.Context, c *x509.Certificate) (token.Principal, error)
	Invite(ctx context.Context, actor string, i api.Invitation) (api.NewAppServer, error)
	Register(ctx context.Context, r api.Registration) (api.Registered, error)
	Renew(ctx context.Context, p token.Principal) (api.Registered, error)
	List(ctx context.Context, after string, limit int) (api.Page[api.AppServer], error)
	Withdraw(ctx context.Context, actor, id string) error
}

// Watch counts what is served.
type Watch interface {
	// Answered tells of a request by its operation, or "none".
	Answered(operation string, status int, took time.Duration)
	// Limited tells that a request was one too many for a limit: sim, address or total.
	Limited(by string)
	// Follows tells that a feed begins, and gone that it ends.
	Follows() (gone func())
}

type nobody struct{}

func (nobody) Answered(string, int, time.Duration) {}
func (nobody) Limited(string)                      {}
func (nobody) Follows() func()                     { return func() {} }

// Answers runs a request under a key once: see idempotency.Answers.
type Answers interface {
	Once(ctx context.Context, principal, key string, request []byte, answer func(context.Context) ([]byte, error)) (text []byte, repeated bool, err error)
}

// Audit is the record of who changed what.
type Audit interface {
	// Record adds entries for something that changes no state: secrets that
	// leave the platform.
	Record(ctx context.Context, entries ...api.AuditEntry) error
	List(ctx context.Context, after string, limit int) (api.Page[api.AuditEntry], error)
	// Head is the head of the chain of entries that was kept last, outside of the database.
	Head(ctx context.Context) (api.AuditHead, error)
}
