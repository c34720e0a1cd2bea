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
	"io"

	"github.com/simroot/simroot/api"
)

// Services are what the handlers call. A service refuses with an [api.Error]; any other
// error is an internal one.
type Services struct {
	Registry    Registry
	Credentials Credentials
	Authority   Authority
	Feed        Feed
	Relay       Relay
	Tokens      Tokens
	Audit       Audit
	// TransportKey is the public key to which SIM keys in batches are sealed.
	TransportKey []byte
	// Health tells what keeps the platform from working; nil is good health.
	Health func(context.Context) error
}

// Registry knows fleets and SIMs.
type Registry interface {
	CreateFleet(ctx context.Context, actor string, f api.Fleet) (api.Fleet, error)
	Fleet(ctx context.Context, name string) (api.Fleet, error)
	Fleets(ctx context.Context, after string, limit int) (api.Page[api.Fleet], error)
	Import(ctx context.Context, actor, fleet string, batch io.Reader) (api.ImportResult, error)
	SIM(ctx context.Context, iccid string) (api.SIM, error)
	SIMs(ctx context.Context, f api.SIMFilter, after string, limit int) (api.Page[api.SIM], error)
	Suspend(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error)
	Resume(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error)
	Terminate(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error)
}

// Credentials knows credentials.
type Credentials interface {
	Credential(ctx context.Context, id string) (api.Credential, error)
	Credentials(ctx context.Context, f api.CredentialFilter, after string, limit int) (api.Page[api.Credential], error)
	Revoke(ctx context.Context, actor, id string, c api.Change) (api.Credential, error)
	RevokeSIM(ctx context.Context, actor, iccid string, c api.Change) ([]api.Credential, error)
	// Secret is a PSK in clear, which the caller seals and wipes.
	Secret(ctx context.Context, id string) ([]byte, error)
}

// Authority publishes and issues certificates.
type Authority interface {
	Anchors() []byte // PEM
	Issuers() []byte // PEM
	CRL(ctx context.Context) ([]byte, error)
	IssueServer(ctx context.Context, actor string, r api.ServerRequest) (api.ServerCertificate, error)
}

// Feed is the ordered record of changes.
type Feed interface {
	ID() string
	Head(ctx context.Context) (int64, error)
	Read(ctx context.Context, after int64, limit int) ([]api.Event, error)
	// Wait returns when there is an event after the given one, or with ctx's error.
	Wait(ctx context.Context, after int64) error
}

// Relay carries out onboardings.
type Relay interface {
	Open(ctx context.Context, o api.RelayOpen) (api.RelayStep, error)
	Answer(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error)
}

// Principal is who a token speaks for.
type Principal struct {
	ID         string
	Name       string
	Role       api.Role
	SealingKey []byte
}

// Tokens knows tokens.
type Tokens interface {
	Authenticate(ctx context.Context, secret string) (Principal, error)
	Create(ctx context.Context, actor string, r api.TokenRequest) (api.NewToken, error)
	List(ctx context.Context, after string, limit int) (api.Page[api.Token], error)
	Withdraw(ctx context.Context, actor, id string) error
}

// Audit is the record of who changed what.
type Audit interface {
	List(ctx context.Context, after string, limit int) (api.Page[api.AuditEntry], error)
}
