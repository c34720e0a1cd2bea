package api

import "time"

// SIMState is where a SIM is in its life: imported → seen → provisioned ⇄ suspended → terminated.
type SIMState string

// The states of a SIM.
const (
	Imported    SIMState = "imported"    // its keys are known, it never came
	Seen        SIMState = "seen"        // it has proved itself once
	Provisioned SIMState = "provisioned" // it holds, or has held, an active credential
	Suspended   SIMState = "suspended"   // none of its credentials is accepted for now
	Terminated  SIMState = "terminated"  // never again
)

// SIM is one SIM as the platform knows it.
type SIM struct {
	ICCID   string    `json:"iccid"`
	Fleet   string    `json:"fleet"`
	State   SIMState  `json:"state"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Replaces is the ICCID of the SIM whose place it has taken, if it has.
	Replaces string `json:"replaces,omitempty"`
	// LastSeen is when it last proved itself; zero if never.
	LastSeen   time.Time  `json:"last_seen,omitzero"`
	Attributes Attributes `json:"attributes,omitempty"`
}

// CredentialState is where a credential is in its life:
// requested → keyed → issued → delivered → active → superseded | expired | revoked.
type CredentialState string

// The states of a credential.
const (
	Requested  CredentialState = "requested"  // the platform has decided to give the SIM one
	Keyed      CredentialState = "keyed"      // the key exists: made in the SIM and proved, or the PSK made
	Issued     CredentialState = "issued"     // the certificate is signed, or the PSK has its identity
	Delivered  CredentialState = "delivered"  // it is on the SIM, the block that activates it has not been answered
	Active     CredentialState = "active"     // the SIM has confirmed that it uses it
	Superseded CredentialState = "superseded" // a newer one has taken its place
	Expired    CredentialState = "expired"    //
	Revoked    CredentialState = "revoked"    //
)

// Accepted tells whether application servers accept a credential in this state: from
// before its activation leaves the platform until something better has taken its place.
func (s CredentialState) Accepted() bool { return s == Delivered || s == Active }

// Final tells whether the credential can never be used again.
func (s CredentialState) Final() bool { return s == Superseded || s == Expired || s == Revoked }

// Credential is one credential in one SIM. It is also what the feed says of it.
type Credential struct {
	ID    string          `json:"id"`
	ICCID string          `json:"iccid"`
	Fleet string          `json:"fleet"`
	Type  CredentialType  `json:"type"`
	State CredentialState `json:"state"`
	// Slot is the place on the SIM: 0 or 1.
	Slot int `json:"slot"`

	// Of certificates, from issued on: DER, its SHA-256, its serial number in hexadecimal.
	Certificate []byte `json:"certificate,omitempty"`
	Fingerprint []byte `json:"fingerprint,omitempty"`
	Serial      string `json:"serial,omitempty"`

	// Identity is the PSK identity, from issued on.
	Identity string `json:"identity,omitempty"`
	// Confirmation is the SIM's proof that it holds the PSK, from active on.
	Confirmation *Confirmation `json:"confirmation,omitempty"`

	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`

	// Reason of a revocation.
	Reason RevocationReason `json:"reason,omitempty"`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Confirmation is a SIM's proof that it holds a PSK: perso.SecretProof over the challenge.
type Confirmation struct {
	Challenge []byte `json:"challenge"`
	Proof     []byte `json:"proof"`
}

// RevocationReason is why a credential was revoked, in the words of RFC 5280 (5.3.1).
type RevocationReason string

// The reasons an operator may give.
const (
	ReasonUnspecified          RevocationReason = "unspecified"
	ReasonKeyCompromise        RevocationReason = "keyCompromise"
	ReasonAffiliationChanged   RevocationReason = "affiliationChanged"
	ReasonSuperseded           RevocationReason = "superseded"
	ReasonCessationOfOperation RevocationReason = "cessationOfOperation"
	ReasonPrivilegeWithdrawn   RevocationReason = "privilegeWithdrawn"
)

// CRLCode is the reason's number in a CRL entry, and false for a reason that is none of the above.
func (r RevocationReason) CRLCode() (int, bool) {
	switch r {
	case ReasonUnspecified, "":
		return 0, true
	case ReasonKeyCompromise:
		return 1, true
	case ReasonAffiliationChanged:
		return 3, true
	case ReasonSuperseded:
		return 4, true
	case ReasonCessationOfOperation:
		return 5, true
	case ReasonPrivilegeWithdrawn:
		return 9, true
	}
	return 0, false
}
