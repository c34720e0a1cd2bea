package rows

import (
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

func scanNode(row scanner) (n store.Node, err error) {
	err = row.Scan(&n.ID, &n.Address, &n.Fingerprint, moment{&n.Seen})
	return n, err
}

// PutNode implements [store.Nodes].
func (t *Tx) PutNode(n store.Node) error {
	return t.change(`INSERT INTO nodes (id, address, fingerprint, seen) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET address = excluded.address, fingerprint = excluded.fingerprint, seen = excluded.seen`,
		n.ID, n.Address, n.Fingerprint, micros(n.Seen))
}

// Node implements [store.Nodes].
func (t *Tx) Node(id string) (store.Node, error) {
	return single(t, scanNode, "SELECT id, address, fingerprint, seen FROM nodes WHERE id = ?", id)
}

// HasNode implements [store.Nodes].
func (t *Tx) HasNode(fingerprint []byte) (has bool, err error) {
	return has, t.one("SELECT EXISTS (SELECT 1 FROM nodes WHERE fingerprint = ?)", []any{fingerprint}, &has)
}

// DeleteNode implements [store.Nodes].
func (t *Tx) DeleteNode(id string) error {
	_, err := t.exec("DELETE FROM nodes WHERE id = ?", id)
	return err
}

// DeleteNodes implements [store.Nodes].
func (t *Tx) DeleteNodes(before time.Time) error {
	_, err := t.exec("DELETE FROM nodes WHERE seen < ?", micros(before))
	return err
}
