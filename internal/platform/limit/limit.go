// Package limit bounds how often somebody may come: token buckets by key, in a memory that is bounded
// too. Who comes too often is told when to come again.
package limit

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Rate is how often somebody may come: so many times at once, and then so many a second. The zero Rate
// does not limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

// maxKeys bounds the memory of a limiter, about 100 bytes a key. Beyond, whoever has not come for the longest
// time is forgotten: many keys at once are the business of a limit in total.
const maxKeys = 1 << 16

// Limiter limits by key. It is safe for concurrent use.
type Limiter[K comparable] struct {
	rate Rate
	most int

	mu      sync.Mutex
	buckets map[K]*list.Element // of *bucket[K]
	recent  *list.List          // who came last is in front
}

type bucket[K comparable] struct {
	key  K
	left float64
	at   time.Time
}

// New returns a limiter at which everybody may come at the given rate.
func New[K comparable](r Rate) *Limiter[K] {
	return &Limiter[K]{rate: r, most: maxKeys, buckets: make(map[K]*list.Element), recent: list.New()}
}

// Take lets somebody in, or tells how long to wait.
func (l *Limiter[K]) Take(key K, now time.Time) (wait time.Duration) {
	if l.rate == (Rate{}) {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key, now)
	if passed := now.Sub(b.at).Seconds(); passed > 0 { // a clock may go backwards
		b.left = min(float64(l.rate.Burst), b.left+passed*l.rate.PerSecond)
	}
	b.at = now
	if b.left >= 1 {
		b.left--
		return 0
	}
	if l.rate.PerSecond <= 0 {
		return time.Hour
	}
	return max(time.Duration((1-b.left)/l.rate.PerSecond*float64(time.Second)), time.Millisecond)
}

func (l *Limiter[K]) bucket(key K, now time.Time) *bucket[K] {
	if e, ok := l.buckets[key]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket[K])
	}
	if len(l.buckets) >= l.most {
		oldest := l.recent.Back()
		delete(l.buckets, oldest.Value.(*bucket[K]).key)
		l.recent.Remove(oldest)
	}
	b := &bucket[K]{key: key, left: float64(l.rate.Burst), at: now}
	l.buckets[key] = l.recent.PushFront(b)
	return b
}

// Network is what an address is limited as: an IPv4 address by itself, of IPv6 the /64 that one
// subscriber has.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for the zero Addr
	return p
}
