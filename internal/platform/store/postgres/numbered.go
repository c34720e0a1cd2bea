package postgres

import (
	"strconv"
	"strings"
	"sync"
)

// Queries are constants, so what is made of them is kept.
var numberedQueries, carefulQueries sync.Map

// numbered puts PostgreSQL's parameters in the place of SQLite's: ? is the one after the
// highest before it, ?N is $N.
func numbered(query string) string {
	if kept, ok := numberedQueries.Load(query); ok {
		return kept.(string)
	}
	var out strings.Builder
	highest := 0
	for rest := query; ; {
		before, after, found := strings.Cut(rest, "?")
		out.WriteString(before)
		if !found {
			break
		}
		digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
		n, err := strconv.Atoi(after[:digits])
		if err != nil {
			n = highest + 1
		}
		highest = max(highest, n)
		out.WriteString("$" + strconv.Itoa(n))
		rest = after[digits:]
	}
	kept, _ := numberedQueries.LoadOrStore(query, out.String())
	return kept.(string)
}

// careful makes an INSERT leave a row alone that is there already.
func careful(query string) string {
	if kept, ok := carefulQueries.Load(query); ok {
		return kept.(string)
	}
	kept, _ := carefulQueries.LoadOrStore(query, numbered(query)+" ON CONFLICT DO NOTHING")
	return kept.(string)
}
