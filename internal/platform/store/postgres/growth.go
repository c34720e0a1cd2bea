package postgres

import (
	"fmt"
	"strings"

	"github.com/simroot/simroot/internal/platform/store/rows"
)

// growing makes all rows at once: a parameter is a column, so that it reads the same however many
// there are.
func growing(t rows.Grown) statement {
	into, _, _ := strings.Cut(t.Insert, " VALUES ")
	var arrays []string
	var columns []any
	for i, first := range t.Rows[0] {
		var kind string
		var column any
		switch first.(type) {
		case int64:
			kind, column = "bigint", columnOf[int64](t.Rows, i)
		case string:
			kind, column = "text", columnOf[string](t.Rows, i)
		case []byte:
			kind, column = "bytea", columnOf[[]byte](t.Rows, i)
		}
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, kind))
		columns = append(columns, column)
	}
	return statement{query: into + " SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")", args: columns}
}

func columnOf[T any](of [][]any, i int) []T {
	column := make([]T, len(of))
	for n, row := range of {
		column[n], _ = row[i].(T) // the values of a column are of one type
	}
	return column
}
