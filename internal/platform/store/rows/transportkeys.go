package rows

import (
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

const transportKeyColumns = "id, note, secret, created, expires, used, batch"

func scanTransportKey(row scanner) (k store.TransportKey, err error) {
	err = row.Scan(&k.ID, &k.Note, &k.Secret, moment{&k.Created}, moment{&k.Expires}, moment{&k.Used}, &k.Batch)
	return k, err
}

// InsertTransportKey implements [store.TransportKeys].
func (t *Tx) InsertTransportKey(k store.TransportKey) error {
	return t.insert("INSERT INTO transport_keys ("+transportKeyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
		k.ID, k.Note, k.Secret, micros(k.Created), micros(k.Expires), micros(k.Used), k.Batch)
}

// TransportKey implements [store.TransportKeys].
func (t *Tx) TransportKey(id string) (store.TransportKey, error) {
	return single(t, scanTransportKey, "SELECT "+transportKeyColumns+" FROM transport_keys WHERE id = ?", id)
}

// ListTransportKeys implements [store.TransportKeys].
func (t *Tx) ListTransportKeys(after string, limit int) ([]store.TransportKey, error) {
	return list(t, scanTransportKey, "SELECT "+transportKeyColumns+" FROM transport_keys WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// UseTransportKey implements [store.TransportKeys].
func (t *Tx) UseTransportKey(id, batch string, at time.Time) error {
	n, err := t.exec("UPDATE transport_keys SET used = ?, batch = ?, secret = NULL WHERE id = ? AND used = 0", micros(at), batch, id)
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return err
}

// ForgetTransportKeys implements [store.TransportKeys].
func (t *Tx) ForgetTransportKeys(now time.Time) error {
	_, err := t.exec("UPDATE transport_keys SET secret = NULL WHERE secret IS NOT NULL AND expires <= ?", micros(now))
	return err
}
