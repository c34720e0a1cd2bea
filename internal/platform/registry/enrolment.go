package registry

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/store"
)

// enrolmentPrefix lets scanners for leaked secrets recognise an enrolment secret.
const enrolmentPrefix = "enrol_"

// NewEnrolmentSecret makes the one-time secret with which the device of a SIM enrols over EST.
// It takes the place of the one before it, used or not.
func (r *Registry) NewEnrolmentSecret(ctx context.Context, actor, iccid string) (api.EnrolmentSecret, error) {
	var random [20]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	made := api.EnrolmentSecret{ICCID: iccid, Secret: enrolmentPrefix + base64.RawURLEncoding.EncodeToString(random[:]), Created: r.now()}
	err := r.store.Update(ctx, func(tx store.Tx) error {
		row, err := sim(tx, iccid)
		if err != nil {
			return err
		}
		if err := welcome(row); err != nil {
			return err
		}
		if err := tx.SetEnrolmentSecret(store.EnrolmentSecret{ICCID: iccid, Hash: api.EnrolmentHash(iccid, made.Secret), Created: made.Created}); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{Time: made.Created, Actor: actor, Action: "enrolment-secret.created", Subject: iccid})
	})
	if err != nil {
		return api.EnrolmentSecret{}, err
	}
	return made, nil
}
