package appserver

import "sync"

// Change tells what has changed, after it took effect.
type Change struct {
	// ICCID is the SIM whose state or attributes, or a credential of which, changed. Empty: everything
	// may have, since the state was fetched anew.
	ICCID string
	// Barred tells that the SIM has nothing now that is accepted; see [Middleware.Barred].
	Barred bool
	// Revoked tells that it is a credential that changed, and is now revoked.
	Revoked bool
	// PSK tells that it is a PSK that changed, or that its secret is here now.
	PSK bool
}

type watchers struct {
	mu   sync.Mutex
	next int
	fns  map[int]func(Change)
}

// Watch calls fn for every change, in order, until stop is called. It must return at once:
// the replica waits for it.
func (m *Middleware) Watch(fn func(Change)) (stop func()) {
	w := &m.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fns == nil {
		w.fns = make(map[int]func(Change))
	}
	key := w.next
	w.next++
	w.fns[key] = fn
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.fns, key)
	}
}

func (w *watchers) tell(c Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fn := range w.fns {
		fn(c)
	}
}
