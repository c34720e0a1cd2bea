package group

import "sync"

// Head is the number of the last event, and who waits for the next one. Its zero value is
// ready for use.
type Head struct {
	mu      sync.Mutex
	seq     int64
	changed chan struct{} // nil: nobody waits
}

// Reach moves the head to an event, unless it has come further already.
func (h *Head) Reach(seq int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq <= h.seq {
		return
	}
	h.seq = seq
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// Head is as [store.Store] has it.
func (h *Head) Head() (int64, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.seq, h.changed
}
