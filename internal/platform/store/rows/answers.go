package rows

import (
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

func scanAnswer(row scanner) (a store.Answer, err error) {
	err = row.Scan(&a.Principal, &a.Key, hash{&a.Request}, &a.Answer, moment{&a.Expires})
	return a, err
}

// InsertAnswer implements [store.Answers].
func (t *Tx) InsertAnswer(a store.Answer) error {
	return t.insert("INSERT INTO answers (principal, name, request, answer, expires) VALUES (?, ?, ?, ?, ?)",
		a.Principal, a.Key, a.Request[:], a.Answer, micros(a.Expires))
}

// Answer implements [store.Answers].
func (t *Tx) Answer(principal, key string) (store.Answer, error) {
	return single(t, scanAnswer, "SELECT principal, name, request, answer, expires FROM answers WHERE principal = ? AND name = ?", principal, key)
}

// ForgetAnswers implements [store.Answers].
func (t *Tx) ForgetAnswers(now time.Time, limit int) (int64, error) {
	return t.exec(`DELETE FROM answers WHERE (principal, name) IN
		(SELECT principal, name FROM answers WHERE expires <= ? ORDER BY expires LIMIT ?)`, micros(now), limit)
}
