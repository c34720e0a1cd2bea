package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// growth is what was appended and is not in the database yet, by table. Its value can be kept and
// gone back to.
type growth []grown

// grown is the rows for one table, of as many values each as its INSERT has parameters.
type grown struct {
	insert string
	rows   [][]any
}

// with is the growth with one more row.
func (g growth) with(insert string, row []any) growth {
	next := slices.Clone(g)
	for i, t := range next {
		if t.insert == insert {
			next[i].rows = append(t.rows, row)
			return next
		}
	}
	return append(next, grown{insert, [][]any{row}})
}

// statement makes all rows at once: a parameter is a column, so that it reads the same however many
// there are.
func (t grown) statement() statement {
	into, _, _ := strings.Cut(t.insert, " VALUES ")
	var arrays []string
	var columns []any
	for i, first := range t.rows[0] {
		var kind string
		var column any
		switch first.(type) {
		case int64:
			kind, column = "bigint", columnOf[int64](t.rows, i)
		case string:
			kind, column = "text", columnOf[string](t.rows, i)
		case []byte:
			kind, column = "bytea", columnOf[[]byte](t.rows, i)
		}
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, kind))
		columns = append(columns, column)
	}
	return statement{query: into + " SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")", args: columns}
}

func columnOf[T any](rows [][]any, i int) []T {
	column := make([]T, len(rows))
	for n, row := range rows {
		column[n], _ = row[i].(T) // the values of a column are of one type
	}
	return column
}
