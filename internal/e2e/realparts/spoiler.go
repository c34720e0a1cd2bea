package realparts

import (
	"math/rand/v2"
	"sync"
)

// Spoiler is a bad line for datagrams, one way. Of all datagrams it loses a share, has as many come
// twice, and as many after the next one. A nil Spoiler is a good line.
type Spoiler struct {
	share float64

	mu     sync.Mutex
	random *rand.Rand
	late   func()
}

// NewSpoiler makes the same mistakes for the same seed.
func NewSpoiler(share float64, seed uint64) *Spoiler {
	return &Spoiler{share: share, random: rand.New(rand.NewPCG(seed, 1))}
}

// Mend makes it a good line.
func (s *Spoiler) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.share = 0
}

// Pass sends a datagram, none or several.
func (s *Spoiler) Pass(datagram []byte, send func([]byte)) {
	if s == nil {
		send(datagram)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	late := s.late
	s.late = nil
	switch luck := s.random.Float64() / s.share; {
	case luck < 1: // it is lost
	case luck < 2:
		send(datagram)
		send(datagram)
	case luck < 3:
		s.late = func() { send(datagram) }
	default:
		send(datagram)
	}
	if late != nil {
		late()
	}
}
