package rows

import (
	"fmt"

	"github.com/simroot/simroot/internal/platform/store"
)

// SetEnrolmentSecret implements [store.EnrolmentSecrets].
func (t *Tx) SetEnrolmentSecret(s store.EnrolmentSecret) error {
	return t.change(`INSERT INTO enrolment_secrets (iccid, hash, created, credential) VALUES (?, ?, ?, ?)
		ON CONFLICT (iccid) DO UPDATE SET hash = excluded.hash, created = excluded.created, credential = excluded.credential`,
		s.ICCID, s.Hash[:], micros(s.Created), orNull(s.Credential))
}

func scanEnrolmentSecret(row scanner) (s store.EnrolmentSecret, err error) {
	var hash []byte
	err = row.Scan(&s.ICCID, &hash, moment{&s.Created}, optional{&s.Credential})
	if err == nil && copy(s.Hash[:], hash) != len(s.Hash) {
		err = fmt.Errorf("enrolment secret of SIM %s: its hash has %d bytes", s.ICCID, len(hash))
	}
	return s, err
}

// EnrolmentSecret implements [store.EnrolmentSecrets].
func (t *Tx) EnrolmentSecret(iccid string) (store.EnrolmentSecret, error) {
	return single(t, scanEnrolmentSecret, "SELECT iccid, hash, created, credential FROM enrolment_secrets WHERE iccid = ?", iccid)
}
