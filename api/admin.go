package api

import (
	"strconv"
	"time"
)

// Paths of administration. All but the public ones need a bearer token.
const (
	PathTransportKey = "/v1/transport-key"       // GET, public: [TransportKey]
	PathTrustAnchors = "/v1/trust-anchors"       // GET, public: PEM certificates
	PathIssuers      = "/v1/issuers"             // GET, public: PEM certificates of the issuing CAs
	PathCRL          = "/v1/crl"                 // GET, public: DER, the current CRL of the CA that issues
	PathCRLDelta     = "/v1/crl/delta"           // GET, public: DER, what has changed on it in the last day
	PathCRLs         = "/v1/crls"                // GET, public: PEM, the CRLs of all CAs that are trusted
	PathOCSP         = "/v1/ocsp"                // POST, and GET /{request}, public: OCSP (RFC 6960)
	PathRootCRL      = "/v1/root-crl"            // GET, public: DER, the root's CRL, for servers that want one of every CA
	PathFleets       = "/v1/fleets"              // GET: [Page] of [Fleet], POST: [Fleet]
	PathBatches      = "/v1/batches"             // POST ?fleet=NAME, a batch file: [ImportResult]
	PathSIMs         = "/v1/sims"                // GET ?fleet=&state=&after=&limit=: [Page] of [SIM]
	PathCredentials  = "/v1/credentials"         // GET ?iccid=&state=&after=&limit=: [Page] of [Credential]
	PathSecrets      = "/v1/credentials/secrets" // POST: [SecretsRequest] → [Page] of [HandedSecret]
	PathServers      = "/v1/servers"             // POST: [ServerRequest] → [ServerCertificate], GET: [Page] of [IssuedServerCertificate]
	PathTokens       = "/v1/tokens"              // GET: [Page] of [Token], POST: [TokenRequest] → [NewToken]
	PathAudit        = "/v1/audit"               // GET ?after=&limit=: [Page] of [AuditEntry]
	PathAuditHead    = "/v1/audit/head"          // GET: [AuditHead]
	PathOpenAPI      = "/openapi.json"           // GET, public
	PathHealth       = "/healthz"                // GET, public
)

// CRLPath is where the complete CRL of an issuing CA is found, GET, public: DER. CAs are numbered from 1
// on: 2 is the one that follows 1.
func CRLPath(ca int) string { return PathCRL + "/cas/" + strconv.Itoa(ca) }

// CRLDeltaPath is where it is found what has changed on it in the last day, GET, public: DER.
func CRLDeltaPath(ca int) string { return CRLPath(ca) + "/delta" }

// CRLShardPath is where one part of the CRL of an issuing CA is found, GET, public: DER. Certificates of
// the first CA name a shorter path.
func CRLShardPath(ca, shard int) string {
	path := PathCRL
	if ca != 1 {
		path = CRLPath(ca)
	}
	return path + "/shards/" + strconv.Itoa(shard)
}

// Page is one page of a list. Next is the value of "after" for the next page, empty on the last.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// TransportKey is the public key to which SIM keys in batch files are sealed.
type TransportKey struct {
	Key []byte `json:"key"` // X25519, 32 bytes; see [Seal]
}

// ImportResult tells what became of a batch.
type ImportResult struct {
	Imported int `json:"imported"`
	// Rejected is the number of lines that were left out, as [ImportOptions.KeepGood] allows.
	Rejected int `json:"rejected,omitempty"`
	// Errors says what is wrong with them, of the first [MaxImportErrors].
	Errors []LineError `json:"errors,omitempty"`
	// DryRun tells that nothing was changed: Imported is how many would have been.
	DryRun bool `json:"dry_run,omitempty"`
	// Repeated tells that this very batch was imported before, and nothing was done again.
	Repeated bool `json:"repeated,omitempty"`
}

// MaxImportErrors is how many lines an import explains.
const MaxImportErrors = 1000

// LineError says what is wrong with a line of a batch.
type LineError struct {
	Line    int    `json:"line"` // counted from 1
	Problem string `json:"problem"`
}

// ImportOptions say how a batch is imported. The zero value: all of it, or nothing.
type ImportOptions struct {
	KeepGood bool // leave out the lines that are wrong
	DryRun   bool // tell what would become of it, and change nothing
	// ID, if not empty, makes a repetition harmless: a batch under this name is imported once.
	ID string
}

// Change asks for a change of state of a SIM (POST …/sims/{iccid}/suspend, /resume,
// /terminate, /revoke) or of a credential (POST …/credentials/{id}/revoke).
type Change struct {
	Reason RevocationReason `json:"reason,omitempty" enum:"unspecified,keyCompromise,affiliationChanged,superseded,cessationOfOperation,privilegeWithdrawn"`
	Note   string           `json:"note,omitempty" maxLength:"200"`
}

// Move asks for another fleet for a SIM (POST …/sims/{iccid}/move).
type Move struct {
	Fleet string `json:"fleet" minLength:"1" maxLength:"64"`
	Change
}

// Replacement asks for another SIM in the place of one (POST …/sims/{iccid}/replace).
type Replacement struct {
	By string `json:"by" pattern:"^[0-9]{18,20}$" patternDescription:"an ICCID of 18 to 20 digits"`
	Change
}

// ServerRequest asks for the TLS certificate of an application server.
type ServerRequest struct {
	// Names are DNS names and IP addresses.
	Names []string `json:"names" minItems:"1" maxItems:"20"`
	// CSR is a PKCS#10 request in DER; only its key and proof of possession count.
	CSR []byte `json:"csr"`
}

// ServerCertificate is a chain in PEM, leaf first.
type ServerCertificate struct {
	Chain string `json:"chain"`
}

// IssuedServerCertificate is a server's certificate that the platform has issued.
type IssuedServerCertificate struct {
	Serial      string           `json:"serial"` // hexadecimal
	Names       []string         `json:"names"`
	Certificate []byte           `json:"certificate"` // DER
	NotBefore   time.Time        `json:"not_before"`
	NotAfter    time.Time        `json:"not_after"`
	Created     time.Time        `json:"created"`
	Revoked     time.Time        `json:"revoked,omitzero"`
	Reason      RevocationReason `json:"reason,omitempty"`
}

// Role is what a token allows.
type Role string

// The roles.
const (
	RoleAdmin     Role = "admin"     // everything
	RoleOperator  Role = "operator"  // SIMs, credentials and fleets
	RoleAuditor   Role = "auditor"   // read only
	RoleAppServer Role = "appserver" // the feed, and secrets sealed to the token's key
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Name     string   `json:"name" minLength:"1" maxLength:"64"`
	Role     Role     `json:"role" enum:"admin,operator,auditor,appserver"`
	Lifetime Duration `json:"lifetime,omitzero"` // 0: 30 days, or 365 days for an application server
	// SealingKey is the public key to which PSKs are sealed for the holder of an
	// appserver token; see [Seal].
	SealingKey []byte `json:"sealing_key,omitempty"`
	// Fleets restrict the token to what belongs to these; none: all. An admin's is never restricted.
	Fleets []string `json:"fleets,omitempty" maxItems:"100"`
}

// NewToken is a token, shown this once: the platform keeps only a hash.
type NewToken struct {
	Token
	Secret string `json:"secret"`
}

// Token describes a token.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Fleets  []string  `json:"fleets,omitempty"` // none: all
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// SealedSecret is a PSK sealed to the asking application server's key
// (POST …/credentials/{id}/secret), with the credential's ID as info; see [Seal].
type SealedSecret struct {
	Sealed []byte `json:"sealed"`
}

// MaxSecrets is how many secrets one request may ask for.
const MaxSecrets = 256

// SecretsRequest asks for the PSKs of credentials, by their IDs.
type SecretsRequest struct {
	Credentials []string `json:"credentials" maxItems:"256"`
}

// HandedSecret is what a request for one credential's PSK is answered with: the PSK as in
// [SealedSecret], or a refusal.
type HandedSecret struct {
	Credential string `json:"credential"`
	Sealed     []byte `json:"sealed,omitempty"`
	Refusal    *Error `json:"refusal,omitempty"`
}
