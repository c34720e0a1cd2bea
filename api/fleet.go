package api

import (
	"fmt"
	"time"

	"github.com/simroot/simroot/iotsafe"
)

// Fleet is a set of SIMs under one credential profile.
type Fleet struct {
	Name    string    `json:"name" minLength:"1" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._-]*$"`
	Profile Profile   `json:"profile"`
	Created time.Time `json:"created,omitzero" readOnly:"true"`
}

// CredentialType is what a credential is made of.
type CredentialType string

// The types.
const (
	CertificateType CredentialType = "certificate" // Type I: a key pair made in the SIM and its certificate
	PSKType         CredentialType = "psk"         // Type II: a pre-shared key
)

// Profile is what the SIMs of a fleet are given. Zero fields are filled by [Profile.WithDefaults].
type Profile struct {
	Type CredentialType `json:"type" enum:"certificate,psk"`

	// Slots are the two places on the SIM between which a rotating credential
	// alternates.
	Slots [2]Slot `json:"slots,omitzero"`

	// TrustAnchor is the file on the SIM that receives the root certificate of the
	// platform, with which the device checks its servers. Empty: none is placed.
	// Only for certificates.
	TrustAnchor iotsafe.ID `json:"trust_anchor,omitempty"`

	// Organization stands in the subject of every certificate of the fleet, beside the
	// ICCID in serialNumber.
	Organization string `json:"organization,omitempty" maxLength:"64"`

	// Lifetime is how long a credential is good, and RenewBefore how long before its
	// end the device should come for the next one.
	Lifetime    Duration `json:"lifetime,omitzero"`
	RenewBefore Duration `json:"renew_before,omitzero"`

	// AllowReenrolment lets a SIM whose credential was revoked onboard again.
	AllowReenrolment bool `json:"allow_reenrolment,omitempty"`

	// EST lets the SIMs enrol over EST too. Nil: they do not. Only for certificates.
	EST *EST `json:"est,omitempty"`
}

// Slot names the objects on the SIM that hold one credential.
type Slot struct {
	PrivateKey  iotsafe.ID `json:"private_key,omitempty"`
	PublicKey   iotsafe.ID `json:"public_key,omitempty"`
	Certificate iotsafe.ID `json:"certificate,omitempty"`
	Secret      iotsafe.ID `json:"secret,omitempty"`
}

// WithDefaults fills what is left open: 90 days, renewed 30 days before the end, and the
// containers that simroot's own card profiles have.
func (p Profile) WithDefaults() Profile {
	if p.Type == "" {
		p.Type = CertificateType
	}
	if p.Slots == ([2]Slot{}) {
		switch p.Type {
		case PSKType:
			p.Slots = [2]Slot{{Secret: "\x21"}, {Secret: "\x22"}}
		default:
			p.Slots = [2]Slot{
				{PrivateKey: "\x01", PublicKey: "\x01", Certificate: "\x02"},
				{PrivateKey: "\x11", PublicKey: "\x11", Certificate: "\x12"},
			}
		}
	}
	if p.Type == CertificateType && p.TrustAnchor == "" {
		p.TrustAnchor = "\x03"
	}
	if p.Lifetime == 0 {
		p.Lifetime = Duration(90 * 24 * time.Hour)
	}
	if p.RenewBefore == 0 {
		p.RenewBefore = p.Lifetime / 3
	}
	return p
}

// Check tells whether the profile can be used.
func (p Profile) Check() error {
	if p.RenewBefore < 0 || p.RenewBefore >= p.Lifetime {
		return fmt.Errorf("renew_before %s does not lie within the lifetime %s", p.RenewBefore, p.Lifetime)
	}
	var ids []iotsafe.ID
	switch p.Type {
	case CertificateType:
		for _, s := range p.Slots {
			ids = append(ids, s.PrivateKey, s.PublicKey, s.Certificate)
		}
		if p.Slots[0].PrivateKey == p.Slots[1].PrivateKey || p.Slots[0].PublicKey == p.Slots[1].PublicKey || p.Slots[0].Certificate == p.Slots[1].Certificate {
			return fmt.Errorf("the two slots share an object: a rotation could not keep the old credential")
		}
	case PSKType:
		ids = append(ids, p.Slots[0].Secret, p.Slots[1].Secret)
		if p.Slots[0].Secret == p.Slots[1].Secret {
			return fmt.Errorf("the two slots share an object: a rotation could not keep the old credential")
		}
	default:
		return fmt.Errorf("credential type %q: want %q or %q", p.Type, CertificateType, PSKType)
	}
	if p.EST != nil {
		if p.Type != CertificateType {
			return fmt.Errorf("est: only certificates are enrolled over EST, not credentials of the type %q", p.Type)
		}
		if err := p.EST.Check(); err != nil {
			return fmt.Errorf("est: %w", err)
		}
	}
	for _, id := range ids {
		if err := id.Check(); err != nil {
			return fmt.Errorf("slots: %w", err)
		}
	}
	return nil
}

// Duration is a time.Duration that travels as text such as "2160h".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}
