// Package page cuts lists into the pages of the contract.
package page

import "github.com/simroot/simroot/api"

// Bounds on the size of a page.
const (
	Default = 100
	Max     = 1000
)

// Limit is the size of a page for which the caller asked; 0 or less asks for the default.
func Limit(asked int) int {
	if asked <= 0 {
		return Default
	}
	return min(asked, Max)
}

// Of makes a page from the result of a query for one row more than its size.
func Of[Row, Item any](rows []Row, limit int, item func(Row) Item, key func(Row) string) api.Page[Item] {
	p := api.Page[Item]{Items: make([]Item, 0, min(len(rows), limit))}
	for i, row := range rows {
		if i == limit {
			p.Next = key(rows[i-1])
			break
		}
		p.Items = append(p.Items, item(row))
	}
	return p
}

// Same returns its argument, for lists whose rows are what the contract shows.
func Same[T any](row T) T { return row }
