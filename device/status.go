package device

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/simroot/simroot/iotsafe"
)

// Status is what is on a SIM, for people and scripts. It holds no secret: a SIM gives none.
type Status struct {
	ICCID   string         `json:"iccid"`
	AID     string         `json:"aid"`
	Type    int            `json:"type"` // 1: asymmetric keys, 2: pre-shared keys only
	Objects []ObjectStatus `json:"objects"`

	// Credential is the certificate that a TLS handshake would use now; nil if there is none.
	Credential *CredentialStatus `json:"credential,omitempty"`

	// PSK is the pre-shared key that a TLS-PSK handshake would use now; nil if there is none.
	PSK *PSKStatus `json:"psk,omitempty"`
}

// PSKStatus names a pre-shared key.
type PSKStatus struct {
	Key string `json:"key"`
	// Identity is the one under which servers know it, empty if the SIM does not name it.
	Identity string `json:"identity,omitempty"`
}

// ObjectStatus is one object of the applet's store.
type ObjectStatus struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Label  string `json:"label,omitempty"`
	Active bool   `json:"active"`
	Size   int    `json:"size,omitempty"`
}

// CredentialStatus describes a certificate.
type CredentialStatus struct {
	Key       string    `json:"key"`
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	// Anchors are the subjects of the CA certificates on the SIM.
	Anchors []string `json:"anchors,omitempty"`
}

// Status reads what is on the SIM.
func (d *Device) Status(ctx context.Context) (Status, error) {
	info, err := d.applet.Info(ctx)
	if err != nil {
		return Status{}, err
	}
	objects, err := d.applet.Objects(ctx)
	if err != nil {
		return Status{}, err
	}
	s := Status{ICCID: string(d.iccid), AID: iotsafe.ID(d.applet.AID()).String(), Type: 1, Objects: []ObjectStatus{}}
	if info.TypeII() {
		s.Type = 2
	}
	for _, o := range objects {
		s.Objects = append(s.Objects, ObjectStatus{
			Kind: o.Kind.String(), ID: o.ID.String(), Label: o.Label, Active: o.Active, Size: o.Size,
		})
	}
	psk, err := d.PSK(ctx)
	switch {
	case err == nil:
		s.PSK = &PSKStatus{Key: psk.id.String(), Identity: psk.identity}
	case !errors.Is(err, ErrNoPSK):
		return Status{}, err
	}
	anchors, err := d.Anchors(ctx)
	if err != nil {
		return Status{}, err
	}
	credential, err := d.Credential(ctx)
	switch {
	case errors.Is(err, ErrNoCredential):
		return s, nil
	case err != nil:
		return Status{}, err
	}
	s.Credential = describe(credential, anchors)
	return s, nil
}

func describe(c *Credential, anchors []*x509.Certificate) *CredentialStatus {
	s := &CredentialStatus{
		Key:       c.PrivateKey.String(),
		Subject:   c.Certificate.Subject.String(),
		Issuer:    c.Certificate.Issuer.String(),
		Serial:    serial(c.Certificate),
		NotBefore: c.Certificate.NotBefore,
		NotAfter:  c.Certificate.NotAfter,
	}
	for _, anchor := range anchors {
		s.Anchors = append(s.Anchors, anchor.Subject.String())
	}
	return s
}

func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }
