package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

func oneEnrolmentSecret(t *testing.T, s store.Store) {
	fill(t, s)
	first := store.EnrolmentSecret{ICCID: iccid(0), Hash: [32]byte{1}, Created: day}
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.SetEnrolmentSecret(first), tx.InsertCredential(credentialRow("c1", 0, api.Active)))
	})
	used := first
	used.Credential = "c1"
	second := store.EnrolmentSecret{ICCID: iccid(0), Hash: [32]byte{2}, Created: day.Add(time.Hour)}
	for _, want := range []store.EnrolmentSecret{first, used, second} {
		update(t, s, func(tx store.Tx) error { return tx.SetEnrolmentSecret(want) })
		view(t, s, func(tx store.Tx) error {
			got, err := tx.EnrolmentSecret(iccid(0))
			same(t, "enrolment secret", got, want)
			return err
		})
	}
	view(t, s, func(tx store.Tx) error {
		if _, err := tx.EnrolmentSecret(iccid(1)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a SIM without a secret: %v", err)
		}
		return nil
	})
}

func foundBySerial(t *testing.T, s store.Store) {
	fill(t, s)
	update(t, s, func(tx store.Tx) error {
		for i, serial := range []string{"", "ab12", "ab13"} {
			c := credentialRow("c"+serial, i, api.Active)
			c.Serial = serial
			if err := tx.InsertCredential(c); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx store.Tx) error {
		c, err := tx.CredentialBySerial("ab13")
		same(t, "found", c.ID, "cab13")
		if _, err := tx.CredentialBySerial("ab14"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a serial number that nobody has: %v", err)
		}
		if _, err := tx.CredentialBySerial(""); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no serial number: %v", err)
		}
		return err
	})
}
