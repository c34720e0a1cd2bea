package rows

import (
	"strings"
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

const appServerColumns = "id, name, fleets, invitation, invited_until, public_key, sealing_key, created, registered, not_after, withdrawn"

func scanAppServer(row scanner) (a store.AppServer, err error) {
	err = row.Scan(&a.ID, &a.Name, names{&a.Fleets}, hash{&a.Invitation}, moment{&a.InvitedUntil}, &a.PublicKey, &a.SealingKey,
		moment{&a.Created}, moment{&a.Registered}, moment{&a.NotAfter}, moment{&a.Withdrawn})
	return a, err
}

// InsertAppServer implements [store.AppServers].
func (t *Tx) InsertAppServer(a store.AppServer) error {
	return t.insert("INSERT INTO app_servers ("+appServerColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.ID, a.Name, strings.Join(a.Fleets, " "), a.Invitation[:], micros(a.InvitedUntil), a.PublicKey, a.SealingKey,
		micros(a.Created), micros(a.Registered), micros(a.NotAfter), micros(a.Withdrawn))
}

// AppServer implements [store.AppServers].
func (t *Tx) AppServer(id string) (store.AppServer, error) {
	return single(t, scanAppServer, "SELECT "+appServerColumns+" FROM app_servers WHERE id = ?", id)
}

// AppServerByInvitation implements [store.AppServers].
func (t *Tx) AppServerByInvitation(hash [32]byte) (store.AppServer, error) {
	return single(t, scanAppServer, "SELECT "+appServerColumns+" FROM app_servers WHERE invitation = ?", hash[:])
}

// ListAppServers implements [store.AppServers].
func (t *Tx) ListAppServers(after string, limit int) ([]store.AppServer, error) {
	return list(t, scanAppServer, "SELECT "+appServerColumns+" FROM app_servers WHERE id > ? AND withdrawn = 0 ORDER BY id LIMIT ?", after, limit)
}

// UpdateAppServer implements [store.AppServers].
func (t *Tx) UpdateAppServer(a store.AppServer) error {
	return t.change("UPDATE app_servers SET public_key = ?, sealing_key = ?, registered = ?, not_after = ?, withdrawn = ? WHERE id = ?",
		a.PublicKey, a.SealingKey, micros(a.Registered), micros(a.NotAfter), micros(a.Withdrawn), a.ID)
}

// InsertAppServerCertificate implements [store.AppServers].
func (t *Tx) InsertAppServerCertificate(c store.AppServerCertificate) error {
	return t.insert("INSERT INTO app_server_certificates (serial, app_server, not_after) VALUES (?, ?, ?)", c.Serial, c.AppServer, micros(c.NotAfter))
}

// AppServerCertificates implements [store.AppServers].
func (t *Tx) AppServerCertificates(id string, now time.Time) ([]store.AppServerCertificate, error) {
	return list(t, func(row scanner) (c store.AppServerCertificate, err error) {
		err = row.Scan(&c.Serial, &c.AppServer, moment{&c.NotAfter})
		return c, err
	}, "SELECT serial, app_server, not_after FROM app_server_certificates WHERE app_server = ? AND not_after > ? ORDER BY not_after, serial", id, micros(now))
}
