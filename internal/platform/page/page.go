// Package page cuts lists into the pages of the contract.
package page

import (
	"context"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// Bounds on the size of a page.
const (
	Default = 100
	Max     = 1000
)

// limit is the size of a page for which the caller asked; 0 or less asks for the default.
func limit(asked int) int {
	if asked <= 0 {
		return Default
	}
	return min(asked, Max)
}

// View reads a page of the size that the caller asked for: list reads so many rows at the most, item
// is what the contract shows of a row, and key is what the next page begins after.
func View[Row, Item any](ctx context.Context, s store.Store, asked int,
	list func(tx store.Tx, most int) ([]Row, error), item func(Row) Item, key func(Row) string,
) (p api.Page[Item], err error) {
	size := limit(asked)
	err = s.View(ctx, func(tx store.Tx) error {
		rows, err := list(tx, size+1) // one more, which tells that there is a next page
		p = of(rows, size, item, key)
		return err
	})
	return p, err
}

func of[Row, Item any](rows []Row, size int, item func(Row) Item, key func(Row) string) api.Page[Item] {
	p := api.Page[Item]{Items: make([]Item, 0, min(len(rows), size))}
	for i, row := range rows {
		if i == size {
			p.Next = key(rows[i-1])
			break
		}
		p.Items = append(p.Items, item(row))
	}
	return p
}

// Same returns its argument, for lists whose rows are what the contract shows.
func Same[T any](row T) T { return row }
