package api

import (
	"fmt"
	"slices"
	"time"

	"github.com/simroot/simroot/iotsafe"
)

// Fleet is a set of SIMs under one credential profile.
type Fleet struct {
	Name    string    `json:"name" minLength:"1" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._-]*$"`
	Profile Profile   `json:"profile"`
	Created time.Time `json:"created,omitzero" readOnly:"true"`
	// Version counts the changes of the profile, from 1. In a request to change it, the
	// version that was read, so that two operators do not undo each other; 0: whatever it is.
	Version int64 `json:"version,omitempty" minimum:"0"`
}

// CredentialType is what a credential is made of.
type CredentialType string

// The types.
const (
	CertificateType CredentialType = "certificate" // Type I: a key pair made in the SIM and its certificate
	PSKType         CredentialType = "psk"         // Type II: a pre-shared key
)

// Renewal is how a credential that nears its end is followed by the next one.
type Renewal string

// The ways of renewal.
const (
	// Rotate makes a new key, or a new PSK, in the other slot: the old credential works until the
	// new one has.
	Rotate Renewal = "rotate"
	// Renew gives the same key a new certificate, in the same slot, which spares the SIM the making
	// of a key. The certificate is tried before the SIM gets it. See [Profile.KeyAge].
	Renew Renewal = "renew"
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
	// SecondAnchor is the file for a second root, beside the first while one CA follows
	// another. Empty: 13, or, where that is taken, the next that is not.
	SecondAnchor iotsafe.ID `json:"second_anchor,omitempty"`

	// Organization stands in the subject of every certificate of the fleet, beside the
	// ICCID in serialNumber.
	Organization string `json:"organization,omitempty" maxLength:"64"`

	// Lifetime is how long a credential is good, and RenewBefore how long before its
	// end the device should come for the next one.
	Lifetime    Duration `json:"lifetime,omitzero"`
	RenewBefore Duration `json:"renew_before,omitzero"`

	// Renewal is how: by default with a new key.
	Renewal Renewal `json:"renewal,omitempty" enum:"rotate,renew"`

	// KeyAge bounds the life of a key that is certified more than once, by renewals or over EST: no
	// certificate ends later than this after the platform first heard of the key. What would, is
	// given a new key instead, or, over EST, refused while the one before is still good. 0: no
	// bound. A fleet that is created with [Renew] and without it has [DefaultKeyAge], or the
	// lifetime, if that is longer. Only for certificates.
	KeyAge Duration `json:"key_age,omitzero"`

	// Grace is how long after the end of its credential a SIM may still come for the next one. If
	// it is set, the SIM has to prove that it holds the key of the one that has ended. 0: for
	// ever, and without that. Only for certificates.
	Grace Duration `json:"grace,omitzero"`

	// CheckIn is the longest time between two visits of a device, and so the time within which
	// a campaign reaches it, and a new trust anchor if a CA has to go in haste. 0, or no shorter than
	// the lifetime: it comes only for renewals. A fleet that is created without it has
	// [DefaultCheckIn].
	CheckIn Duration `json:"check_in,omitzero"`

	// RevokeOnRenew revokes a certificate, as superseded, when the next one is in use, for those
	// who follow only the CRL.
	RevokeOnRenew bool `json:"revoke_on_renew,omitempty"`

	// AllowReenrolment lets a SIM whose credential was revoked, or has ended longer ago than the
	// grace, onboard again.
	AllowReenrolment bool `json:"allow_reenrolment,omitempty"`

	// EST lets the SIMs enrol over EST too. Nil: they do not. Only for certificates.
	EST *EST `json:"est,omitempty"`

	// IssuesPerDay is how many credentials one SIM may begin within 24 hours. 0: any number.
	IssuesPerDay int `json:"issues_per_day,omitempty" minimum:"0" maximum:"1000"`

	// Canary is the share of the SIMs, in percent, with which a campaign begins. 0: all at once.
	Canary int `json:"canary,omitempty" minimum:"0" maximum:"99"`
}

// What [Profile.ForNewFleet] fills.
const (
	// DefaultKeyAge is how long the keys of a new fleet live that renews their certificates.
	DefaultKeyAge = Duration(365 * 24 * time.Hour)

	// DefaultCheckIn is how often the devices of a new fleet come at least: every week. Without it
	// a device that renews after 60 of 90 days is out of reach for as long, and with it a rollover of
	// the CA, or a rotation after an incident, which takes two visits at most. Revocations need none.
	// A visit for nothing costs nine APDUs of 1 KB in all, four round trips and one handshake with the
	// platform: with 10 KB a week, half a megabyte a year; a million SIMs are two visits a second.
	// Every day would be seven times that, and a week is soon enough for what can be planned; where it
	// is not, or where radio and battery allow less, the operator says so.
	DefaultCheckIn = Duration(7 * 24 * time.Hour)
)

// ForNewFleet is [Profile.WithDefaults] and the policies that a fleet is given when it is created
// without them. One that is there already keeps to what its operator knows: for it, 0 means none.
func (p Profile) ForNewFleet() Profile {
	p = p.WithDefaults()
	if p.Renewal == Renew && p.KeyAge == 0 {
		p.KeyAge = max(DefaultKeyAge, p.Lifetime)
	}
	if p.CheckIn == 0 {
		p.CheckIn = DefaultCheckIn
	}
	return p
}

// Slot names the objects on the SIM that hold one credential.
type Slot struct {
	PrivateKey  iotsafe.ID `json:"private_key,omitempty"`
	PublicKey   iotsafe.ID `json:"public_key,omitempty"`
	Certificate iotsafe.ID `json:"certificate,omitempty"`
	Secret      iotsafe.ID `json:"secret,omitempty"`
}

// AnchorFiles are the files on a SIM for trust anchors, two or none, of a profile with its defaults.
func (p Profile) AnchorFiles() []iotsafe.ID {
	if p.Type == PSKType || p.TrustAnchor == "" {
		return nil
	}
	return []iotsafe.ID{p.TrustAnchor, p.SecondAnchor}
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
	if p.Type == CertificateType && p.SecondAnchor == "" {
		taken := []iotsafe.ID{p.TrustAnchor, p.Slots[0].Certificate, p.Slots[1].Certificate}
		p.SecondAnchor = "\x13"
		for next := byte(0x14); slices.Contains(taken, p.SecondAnchor); next++ {
			p.SecondAnchor = iotsafe.ID([]byte{next})
		}
	}
	if p.Lifetime == 0 {
		p.Lifetime = Duration(90 * 24 * time.Hour)
	}
	if p.RenewBefore == 0 {
		p.RenewBefore = p.Lifetime / 3
	}
	if p.Renewal == "" {
		p.Renewal = Rotate
	}
	return p
}

// Check tells whether the profile, with its defaults, can be used.
func (p Profile) Check() error {
	if p.RenewBefore < 0 || p.RenewBefore >= p.Lifetime {
		return fmt.Errorf("renew_before %s does not lie within the lifetime %s", p.RenewBefore, p.Lifetime)
	}
	if err := p.checkPolicy(); err != nil {
		return err
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
	files := map[iotsafe.ID]bool{p.Slots[0].Certificate: true, p.Slots[1].Certificate: true}
	for _, id := range p.AnchorFiles() {
		if err := id.Check(); err != nil {
			return fmt.Errorf("trust anchors: %w", err)
		}
		if files[id] {
			return fmt.Errorf("trust anchors: file %s is used twice: name others in trust_anchor and second_anchor", id)
		}
		files[id] = true
	}
	return nil
}

// checkPolicy checks what concerns the time after the first credential.
func (p Profile) checkPolicy() error {
	switch {
	case p.Renewal != Rotate && p.Renewal != Renew:
		return fmt.Errorf("renewal %q: want %q or %q", p.Renewal, Rotate, Renew)
	case p.Renewal == Renew && p.Type == PSKType:
		return fmt.Errorf("renewal %q: a pre-shared key is never given a second life: want %q", Renew, Rotate)
	case p.KeyAge != 0 && p.Type == PSKType:
		return fmt.Errorf("key_age %s: a pre-shared key has one lifetime, and no other: leave the key age away", p.KeyAge)
	case p.KeyAge != 0 && p.KeyAge < p.Lifetime:
		return fmt.Errorf("key_age %s: want at least the lifetime %s, for which every key is certified once", p.KeyAge, p.Lifetime)
	case p.Grace < 0 || p.CheckIn < 0:
		return fmt.Errorf("grace %s, check_in %s: want no negative time", p.Grace, p.CheckIn)
	case p.Grace > 0 && p.Type == PSKType:
		return fmt.Errorf("grace %s: the secret of a PSK that has ended is forgotten, so that the SIM cannot prove that it holds it: leave the grace away", p.Grace)
	case p.CheckIn > 0 && p.CheckIn < Duration(time.Minute):
		return fmt.Errorf("check_in %s: want at least a minute", p.CheckIn)
	case p.IssuesPerDay < 0:
		return fmt.Errorf("issues_per_day %d: want 0 or more", p.IssuesPerDay)
	case p.Canary < 0 || p.Canary > 99:
		return fmt.Errorf("canary %d: want a share of 0 to 99 percent", p.Canary)
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
