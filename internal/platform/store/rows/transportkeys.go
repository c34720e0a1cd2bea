package rows

import (
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

const transportKeyColumns = "id, note, secret, created, expires, used, batch, withdrawn"

func scanTransportKey(row scanner) (k store.TransportKey, err error) {
	err = row.Scan(&k.ID, &k.Note, &k.Secret, moment{&k.Created}, moment{&k.Expires}, moment{&k.Used}, &k.Batch, moment{&k.Withdrawn})
	return k, err
}

// InsertTransportKey implements [store.TransportKeys].
func (t *Tx) InsertTransportKey(k store.TransportKey) error {
	return t.insert("INSERT INTO transport_keys ("+transportKeyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		k.ID, k.Note, k.Secret, micros(k.Created), micros(k.Expires), micros(k.Used), k.Batch, micros(k.Withdrawn))
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
	return t.endTransportKey("used = ?, batch = ?", micros(at), batch, id)
}

// WithdrawTransportKey implements [store.TransportKeys].
func (t *Tx) WithdrawTransportKey(id string, at time.Time) error {
	return t.endTransportKey("withdrawn = ?", micros(at), id)
}

// endTransportKey sets columns of a key that is of use still; its ID is the last argument.
func (t *Tx) endTransportKey(set string, args ...any) error {
	n, err := t.exec("UPDATE transport_keys SET "+set+", secret = NULL WHERE id = ? AND used = 0 AND withdrawn = 0", args...)
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
