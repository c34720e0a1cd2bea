package rows

import (
	"fmt"
	"strings"
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

const tokenColumns = "id, name, role, hash, sealing_key, created, expires, withdrawn, fleets"

func scanToken(row scanner) (t store.Token, err error) {
	var hash []byte
	err = row.Scan(&t.ID, &t.Name, &t.Role, &hash, &t.SealingKey, moment{&t.Created}, moment{&t.Expires}, moment{&t.Withdrawn}, names{&t.Fleets})
	if err == nil && copy(t.Hash[:], hash) != len(t.Hash) {
		err = fmt.Errorf("token %s: its hash has %d bytes", t.ID, len(hash))
	}
	return t, err
}

// InsertToken implements [store.Tokens].
func (t *Tx) InsertToken(k store.Token) error {
	return t.insert("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		k.ID, k.Name, string(k.Role), k.Hash[:], k.SealingKey, micros(k.Created), micros(k.Expires), micros(k.Withdrawn), strings.Join(k.Fleets, " "))
}

// Token implements [store.Tokens].
func (t *Tx) Token(id string) (store.Token, error) {
	return single(t, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE id = ?", id)
}

// TokenByHash implements [store.Tokens].
func (t *Tx) TokenByHash(hash [32]byte) (store.Token, error) {
	return single(t, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?", hash[:])
}

// ListTokens implements [store.Tokens].
func (t *Tx) ListTokens(after string, limit int) ([]store.Token, error) {
	return list(t, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE id > ? AND withdrawn = 0 ORDER BY id LIMIT ?", after, limit)
}

// WithdrawToken implements [store.Tokens].
func (t *Tx) WithdrawToken(id string, at time.Time) error {
	return t.change("UPDATE tokens SET withdrawn = ? WHERE id = ?", micros(at), id)
}
