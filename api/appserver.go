package api

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// Paths of the registration of application servers.
//
// An administrator invites one, and gets a one-time token for it. The application server
// makes its own keys, registers with the token, and from then on identifies itself by the
// TLS client certificate that it was given: it needs no bearer token. The certificate
// allows what the role [RoleAppServer] does, for the fleets of the invitation.
const (
	PathAppServers        = "/v1/appservers"          // GET: [Page] of [AppServer], POST: [Invitation] → [NewAppServer]
	PathRegisterAppServer = "/v1/appservers/register" // POST, public: [Registration] → [Registered]
	PathRenewAppServer    = "/v1/appservers/renew"    // POST, with the certificate: [Registered]
)

// AppServerURI begins the URI in the certificate of an application server; its ID follows.
const AppServerURI = "urn:simroot:appserver:"

// AppServer is an application server that the platform knows.
type AppServer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Fleets are those whose SIMs it may know; none: all.
	Fleets  []string  `json:"fleets,omitempty"`
	Created time.Time `json:"created"`
	// InvitedUntil is the end of the one-time token.
	InvitedUntil time.Time `json:"invited_until"`
	// Registered is zero as long as it has not registered.
	Registered time.Time `json:"registered,omitzero"`
	// NotAfter is the end of the certificate that it was given last.
	NotAfter time.Time `json:"not_after,omitzero"`
}

// Invitation asks for a one-time token with which an application server registers.
type Invitation struct {
	Name     string   `json:"name" minLength:"1" maxLength:"64"`
	Fleets   []string `json:"fleets,omitempty" maxItems:"100"`
	Lifetime Duration `json:"lifetime,omitzero"` // of the one-time token; 0: 24 hours
}

// NewAppServer is an invitation. Its token is shown this once: the platform keeps only a hash.
type NewAppServer struct {
	AppServer
	Token string `json:"token"`
}

// Registration registers an application server. It may be repeated with the same key as long as
// the token is good, should the answer be lost.
type Registration struct {
	Token string `json:"token" maxLength:"100"`
	// CSR is a PKCS#10 request in DER; only its key and proof of possession count.
	CSR []byte `json:"csr" maxLength:"8192"`
	// SealingKey is the public key to which PSKs are sealed; see [Seal]. Without it the
	// application server gets none.
	SealingKey []byte `json:"sealing_key,omitempty" maxLength:"64"`
}

// Registered is what an application server holds from then on.
type Registered struct {
	AppServer AppServer `json:"appserver"`
	Chain     string    `json:"chain"` // PEM, leaf first
}

// InviteAppServer makes a one-time token for an application server.
func (c *Client) InviteAppServer(ctx context.Context, i Invitation) (NewAppServer, error) {
	return post[NewAppServer](ctx, c, PathAppServers, i)
}

// AppServers lists the application servers. A list ends at the first error.
func (c *Client) AppServers(ctx context.Context) iter.Seq2[AppServer, error] {
	return list[AppServer](ctx, c, PathAppServers, nil)
}

// WithdrawAppServer makes an application server's certificate, or its one-time token, useless at
// once, and ends its feed.
func (c *Client) WithdrawAppServer(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, item(PathAppServers, id), nil, nil, nil)
}

// RegisterAppServer trades a one-time token for a certificate.
func (c *Client) RegisterAppServer(ctx context.Context, r Registration) (Registered, error) {
	return post[Registered](ctx, c, PathRegisterAppServer, r)
}

// RenewAppServer has a further certificate issued for the key with which the client identifies
// itself; see [ClientOptions]. The one before it is good until its end.
func (c *Client) RenewAppServer(ctx context.Context) (Registered, error) {
	return post[Registered](ctx, c, PathRenewAppServer, nil)
}
