package authz

import (
	"sync"
	"time"
)

// bucket bounds a rate: it holds what one second allows.
type bucket struct {
	rate float64 // a second

	mu    sync.Mutex
	spent float64
	at    time.Time
}

func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.spent+1 > b.rate {
		return false
	}
	b.spent++
	return true
}
