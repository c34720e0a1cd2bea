package rows

import "slices"

// Growth is what an engine was told to append and has kept back, by table. Its value can be kept
// and gone back to.
type Growth []Grown

// Grown is the rows for one table, of as many values each as its INSERT has parameters.
type Grown struct {
	Insert string
	Rows   [][]any
}

// With is the growth with one more row.
func (g Growth) With(insert string, row []any) Growth {
	next := slices.Clone(g)
	for i, t := range next {
		if t.Insert == insert {
			next[i].Rows = append(t.Rows, row)
			return next
		}
	}
	return append(next, Grown{insert, [][]any{row}})
}

// maxGrown bounds how many rows of a table are kept back, and so what a long transaction holds in memory.
const maxGrown = 1024

// Full tells that it is time to append.
func (g Growth) Full() bool {
	return slices.ContainsFunc(g, func(t Grown) bool { return len(t.Rows) >= maxGrown })
}
