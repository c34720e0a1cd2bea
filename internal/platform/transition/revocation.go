package transition

import (
	"errors"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/store"
)

// Listed puts certificates on the revocation lists for a reason of RFC 5280, 5.3.1, or takes them off
// with [store.RemoveFromCRL].
func Listed(tx store.Tx, at time.Time, code int, certificates ...Certificate) error {
	if len(certificates) == 0 {
		return nil
	}
	revision, err := tx.NewRevision(at)
	if err != nil {
		return err
	}
	for _, c := range certificates {
		if err := tx.PutRevoked(store.RevokedCertificate{
			Serial: c.Serial, Shard: ca.ShardOf(c.Serial), Code: code, Since: at, NotAfter: c.NotAfter, Revision: revision,
		}); err != nil {
			return err
		}
	}
	return nil
}

// Certificate is what a revocation list has to know of one.
type Certificate struct {
	Serial   string
	NotAfter time.Time
}

func revokeCertificate(tx store.Tx, why Cause, c *store.Credential) error {
	code, _ := c.Reason.CRLCode()
	return Listed(tx, why.Time, code, Certificate{c.Serial, c.NotAfter})
}

// hold puts the certificates of a SIM that is suspended on hold, and takes them off again when it is
// resumed. One that is terminated has had them revoked.
func hold(tx store.Tx, why Cause, s *store.SIM, from api.SIMState) error {
	suspended, resumed := s.State == api.Suspended, from == api.Suspended && s.State == api.Provisioned
	if !suspended && !resumed {
		return nil
	}
	all, err := tx.CredentialsOf(s.ICCID, why.Time)
	if err != nil {
		return err
	}
	var certificates []Certificate
	for _, c := range all {
		if c.Serial == "" {
			continue
		}
		if resumed {
			if row, err := tx.RevokedCertificate(c.Serial); errors.Is(err, store.ErrNotFound) || err == nil && row.Code != store.CertificateHold {
				continue
			} else if err != nil {
				return err
			}
		}
		certificates = append(certificates, Certificate{c.Serial, c.NotAfter})
	}
	code := store.CertificateHold
	if resumed {
		code = store.RemoveFromCRL
	}
	return Listed(tx, why.Time, code, certificates...)
}
