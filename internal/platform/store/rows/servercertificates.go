package rows

import (
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

const serverColumns = "serial, id, names, certificate, not_before, not_after, created, revoked, reason"

func scanServer(row scanner) (s store.ServerCertificate, err error) {
	var names string
	err = row.Scan(&s.Serial, &s.ID, &names, &s.Certificate, moment{&s.NotBefore}, moment{&s.NotAfter}, moment{&s.Created}, moment{&s.Revoked}, &s.Reason)
	s.Names = strings.Fields(names)
	return s, err
}

// InsertServerCertificate implements [store.ServerCertificates].
func (t *Tx) InsertServerCertificate(s store.ServerCertificate) error {
	return t.insert("INSERT INTO server_certificates ("+serverColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		s.Serial, s.ID, strings.Join(s.Names, " "), s.Certificate, micros(s.NotBefore), micros(s.NotAfter), micros(s.Created), micros(s.Revoked), string(s.Reason))
}

// ServerCertificate implements [store.ServerCertificates].
func (t *Tx) ServerCertificate(serial string) (store.ServerCertificate, error) {
	return single(t, scanServer, "SELECT "+serverColumns+" FROM server_certificates WHERE serial = ?", serial)
}

// ListServerCertificates implements [store.ServerCertificates].
func (t *Tx) ListServerCertificates(after string, limit int) ([]store.ServerCertificate, error) {
	return list(t, scanServer, "SELECT "+serverColumns+" FROM server_certificates WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// RevokeServerCertificate implements [store.ServerCertificates].
func (t *Tx) RevokeServerCertificate(serial string, at time.Time, reason api.RevocationReason) error {
	return t.change("UPDATE server_certificates SET revoked = ?, reason = ? WHERE serial = ?", micros(at), string(reason), serial)
}
