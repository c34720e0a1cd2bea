package api

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// pageSize is how many items a list fetches at once.
const pageSize = 500

// TransportKey fetches the key to which SIM keys in batch files are sealed.
func (c *Client) TransportKey(ctx context.Context) (TransportKey, error) {
	return get[TransportKey](ctx, c, PathTransportKey)
}

// TrustAnchors fetches the platform's root certificates, in PEM.
func (c *Client) TrustAnchors(ctx context.Context) ([]byte, error) {
	return get[[]byte](ctx, c, PathTrustAnchors)
}

// Issuers fetches the certificates of the issuing CAs, in PEM.
func (c *Client) Issuers(ctx context.Context) ([]byte, error) {
	return get[[]byte](ctx, c, PathIssuers)
}

// CRL fetches the current revocation list of the CA that issues, in DER.
func (c *Client) CRL(ctx context.Context) ([]byte, error) {
	return get[[]byte](ctx, c, PathCRL)
}

// CRLDelta fetches what has changed on the revocation list during the last day, in DER (RFC 5280, 5.2.4).
func (c *Client) CRLDelta(ctx context.Context) ([]byte, error) {
	return get[[]byte](ctx, c, PathCRLDelta)
}

// CRLShard fetches one part of the revocation list of an issuing CA, in DER: the one that certificates name.
func (c *Client) CRLShard(ctx context.Context, ca, shard int) ([]byte, error) {
	return get[[]byte](ctx, c, CRLShardPath(ca, shard))
}

// CRLOf fetches the complete revocation list of one issuing CA, in DER; see [CRLPath].
func (c *Client) CRLOf(ctx context.Context, ca int) ([]byte, error) {
	return get[[]byte](ctx, c, CRLPath(ca))
}

// CRLDeltaOf fetches what has changed on it during the last day, in DER.
func (c *Client) CRLDeltaOf(ctx context.Context, ca int) ([]byte, error) {
	return get[[]byte](ctx, c, CRLDeltaPath(ca))
}

// CRLs fetches the complete revocation lists of all CAs that are trusted, in PEM: of every issuing CA that
// may have certificates in use, and of the roots above that have one. It is what TLS servers take as a file.
func (c *Client) CRLs(ctx context.Context) ([]byte, error) {
	return get[[]byte](ctx, c, PathCRLs)
}

// RootCRL fetches the root's revocation list, in DER: on it stand revoked issuing CAs. Some TLS servers
// want a list of every CA in a chain.
func (c *Client) RootCRL(ctx context.Context) ([]byte, error) {
	return get[[]byte](ctx, c, PathRootCRL)
}

// CreateFleet makes a fleet and returns it with the defaults of its profile filled in.
func (c *Client) CreateFleet(ctx context.Context, f Fleet) (Fleet, error) {
	return post[Fleet](ctx, c, PathFleets, f)
}

// Fleet fetches one fleet.
func (c *Client) Fleet(ctx context.Context, name string) (Fleet, error) {
	return get[Fleet](ctx, c, item(PathFleets, name))
}

// UpdateFleet changes the profile of a fleet. What the profile leaves open gets its default.
func (c *Client) UpdateFleet(ctx context.Context, f Fleet) (changed Fleet, err error) {
	err = c.call(ctx, http.MethodPut, item(PathFleets, f.Name), nil, f, &changed)
	return changed, err
}

// Fleets lists the fleets by name. A list ends at the first error.
func (c *Client) Fleets(ctx context.Context) iter.Seq2[Fleet, error] {
	return list[Fleet](ctx, c, PathFleets, nil)
}

// Import sends a batch file, which is read once and never held in memory. All of it is
// imported into the fleet, or nothing.
func (c *Client) Import(ctx context.Context, fleet string, batch io.Reader) (result ImportResult, err error) {
	return c.ImportWith(ctx, fleet, batch, ImportOptions{})
}

// ImportWith is [Client.Import] with options.
func (c *Client) ImportWith(ctx context.Context, fleet string, batch io.Reader, o ImportOptions) (result ImportResult, err error) {
	query := url.Values{"fleet": {fleet}}
	if o.KeepGood {
		query.Set("keep_good", "true")
	}
	if o.DryRun {
		query.Set("dry_run", "true")
	}
	if o.ID != "" {
		query.Set("id", o.ID)
	}
	answer, err := c.send(ctx, http.MethodPost, PathBatches, query, "application/x-ndjson", batch)
	if err != nil {
		return result, err
	}
	defer answer.Body.Close()
	err = read(answer.Body, http.MethodPost, PathBatches, &result)
	return result, err
}

// SIM fetches one SIM.
func (c *Client) SIM(ctx context.Context, iccid string) (SIM, error) {
	return get[SIM](ctx, c, item(PathSIMs, iccid))
}

// SIMFilter narrows a list of SIMs; zero fields do not.
type SIMFilter struct {
	Fleet string
	State SIMState
	After string // only those behind this ICCID
}

// SIMs lists SIMs by ICCID. A list ends at the first error.
func (c *Client) SIMs(ctx context.Context, f SIMFilter) iter.Seq2[SIM, error] {
	return list[SIM](ctx, c, PathSIMs, url.Values{"fleet": {f.Fleet}, "state": {string(f.State)}, "after": {f.After}})
}

// SetSIMAttributes changes a SIM's attributes: all that is asked, or nothing.
func (c *Client) SetSIMAttributes(ctx context.Context, iccid string, change AttributeChange) (SIM, error) {
	return post[SIM](ctx, c, item(PathSIMs, iccid, "attributes"), change)
}

// SuspendSIM stops a SIM's credentials being accepted until [Client.ResumeSIM].
func (c *Client) SuspendSIM(ctx context.Context, iccid string, change Change) (SIM, error) {
	return post[SIM](ctx, c, item(PathSIMs, iccid, "suspend"), change)
}

// ResumeSIM ends a suspension.
func (c *Client) ResumeSIM(ctx context.Context, iccid string, change Change) (SIM, error) {
	return post[SIM](ctx, c, item(PathSIMs, iccid, "resume"), change)
}

// TerminateSIM ends a SIM for good and revokes what it holds.
func (c *Client) TerminateSIM(ctx context.Context, iccid string, change Change) (SIM, error) {
	return post[SIM](ctx, c, item(PathSIMs, iccid, "terminate"), change)
}

// NewEnrolmentSecret makes a one-time secret with which a SIM's device enrols over EST. The one
// before it, if there was one, is good no longer.
func (c *Client) NewEnrolmentSecret(ctx context.Context, iccid string) (EnrolmentSecret, error) {
	return post[EnrolmentSecret](ctx, c, item(PathSIMs, iccid, "enrolment-secret"), struct{}{})
}

// MoveSIM takes a SIM to another fleet.
func (c *Client) MoveSIM(ctx context.Context, iccid string, m Move) (SIM, error) {
	return post[SIM](ctx, c, item(PathSIMs, iccid, "move"), m)
}

// ReplaceSIM puts another SIM in the place of one, which is terminated, and returns the other.
func (c *Client) ReplaceSIM(ctx context.Context, iccid string, r Replacement) (SIM, error) {
	return post[SIM](ctx, c, item(PathSIMs, iccid, "replace"), r)
}

// RevokeSIM revokes every credential of a SIM that is not at its end, and returns them.
func (c *Client) RevokeSIM(ctx context.Context, iccid string, change Change) ([]Credential, error) {
	revoked, err := post[Page[Credential]](ctx, c, item(PathSIMs, iccid, "revoke"), change)
	return revoked.Items, err
}

// Credential fetches one credential.
func (c *Client) Credential(ctx context.Context, id string) (Credential, error) {
	return get[Credential](ctx, c, item(PathCredentials, id))
}

// CredentialFilter narrows a list of credentials; zero fields do not.
type CredentialFilter struct {
	ICCID string
	Fleet string
	State CredentialState
	After string // only those behind this ID
}

// Credentials lists credentials. A list ends at the first error.
func (c *Client) Credentials(ctx context.Context, f CredentialFilter) iter.Seq2[Credential, error] {
	return list[Credential](ctx, c, PathCredentials, url.Values{"iccid": {f.ICCID}, "fleet": {f.Fleet}, "state": {string(f.State)}, "after": {f.After}})
}

// RevokeCredential revokes one credential, for good.
func (c *Client) RevokeCredential(ctx context.Context, id string, change Change) (Credential, error) {
	return post[Credential](ctx, c, item(PathCredentials, id, "revoke"), change)
}

// Secret fetches the PSK of a credential, sealed to the key of the token in use; see [OpenSealed].
func (c *Client) Secret(ctx context.Context, credential string) (SealedSecret, error) {
	return post[SealedSecret](ctx, c, item(PathCredentials, credential, "secret"), nil)
}

// Secrets fetches the PSKs of up to [MaxSecrets] credentials at once, each as [Client.Secret] does. There is
// one item for each credential, in their order.
func (c *Client) Secrets(ctx context.Context, credentials []string) ([]HandedSecret, error) {
	page, err := post[Page[HandedSecret]](ctx, c, PathSecrets, SecretsRequest{credentials})
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(page.Items, credentials, func(h HandedSecret, id string) bool { return h.Credential == id }) {
		return nil, fmt.Errorf("platform: POST %s: the answer is not about the %d credentials that were asked for", PathSecrets, len(credentials))
	}
	return page.Items, nil
}

// CreateToken makes a token. Its secret is shown this once.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (NewToken, error) {
	return post[NewToken](ctx, c, PathTokens, r)
}

// Tokens lists the tokens, without their secrets. A list ends at the first error.
func (c *Client) Tokens(ctx context.Context) iter.Seq2[Token, error] {
	return list[Token](ctx, c, PathTokens, nil)
}

// WithdrawToken makes a token useless at once.
func (c *Client) WithdrawToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, item(PathTokens, id), nil, nil, nil)
}

// RequestServerCertificate has the platform issue an application server's TLS certificate.
func (c *Client) RequestServerCertificate(ctx context.Context, r ServerRequest) (ServerCertificate, error) {
	return post[ServerCertificate](ctx, c, PathServers, r)
}

// ServerCertificates lists the servers' certificates, older ones first. A list ends at the first error.
func (c *Client) ServerCertificates(ctx context.Context) iter.Seq2[IssuedServerCertificate, error] {
	return list[IssuedServerCertificate](ctx, c, PathServers, nil)
}

// RevokeServerCertificate revokes a server's certificate by its serial number, for good.
func (c *Client) RevokeServerCertificate(ctx context.Context, serial string, change Change) (IssuedServerCertificate, error) {
	return post[IssuedServerCertificate](ctx, c, item(PathServers, serial, "revoke"), change)
}

// AuditHead fetches the head of the audit log that the platform keeps outside of its database.
func (c *Client) AuditHead(ctx context.Context) (AuditHead, error) {
	return get[AuditHead](ctx, c, PathAuditHead)
}

// VerifyAudit fetches the whole audit log and checks that it is a chain which leads over the platform's head
// and those that the caller has kept. It returns the head of the last entry; an error that wraps
// [ErrAuditBroken] says that the log was tampered with.
func (c *Client) VerifyAudit(ctx context.Context, kept ...AuditHead) (AuditHead, error) {
	head, err := c.AuditHead(ctx)
	if err != nil {
		return AuditHead{}, err
	}
	check := NewAuditCheck(append(kept, head)...)
	for entry, err := range c.Audit(ctx) {
		if err == nil {
			err = check.Next(entry)
		}
		if err != nil {
			return check.Head(), err
		}
	}
	return check.Head(), check.End()
}

// Audit lists the changes of state, oldest first. A list ends at the first error.
func (c *Client) Audit(ctx context.Context) iter.Seq2[AuditEntry, error] {
	return list[AuditEntry](ctx, c, PathAudit, nil)
}

// item is the path of one thing in a collection, or of something that is done to it.
func item(collection, id string, verb ...string) string {
	path := collection + "/" + url.PathEscape(id)
	for _, v := range verb {
		path += "/" + v
	}
	return path
}

func get[T any](ctx context.Context, c *Client, path string) (out T, err error) {
	err = c.call(ctx, http.MethodGet, path, nil, nil, &out)
	return out, err
}

func post[T any](ctx context.Context, c *Client, path string, in any) (out T, err error) {
	err = c.call(ctx, http.MethodPost, path, nil, in, &out)
	return out, err
}

// list walks through the pages of a list.
func list[T any](ctx context.Context, c *Client, path string, filter url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}}
		for key, values := range filter {
			if len(values) == 1 && values[0] != "" {
				query[key] = values
			}
		}
		for {
			var page Page[T]
			if err := c.call(ctx, http.MethodGet, path, query, nil, &page); err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			query.Set("after", page.Next)
		}
	}
}
