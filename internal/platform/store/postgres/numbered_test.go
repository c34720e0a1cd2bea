package postgres

import "testing"

func TestParametersAreNumberedAsSQLiteDoes(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                               "SELECT 1",
		"a = ? AND b = ?":                        "a = $1 AND b = $2",
		"a = ? AND (?2 = '' OR b = ?2) LIMIT ?":  "a = $1 AND ($2 = '' OR b = $2) LIMIT $3",
		"a > ?1 UNION b > ?1":                    "a > $1 UNION b > $1",
		"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?10, ?)": "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
	} {
		if got := numbered(query); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}
