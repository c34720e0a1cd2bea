package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// BenchmarkUpdate measures updates, one after the other and many at once.
func BenchmarkUpdate(b *testing.B, open func(*testing.B) store.Store) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b)
			defer s.Close()
			work := make(chan int)
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for n := range work {
						err := s.Update(b.Context(), func(tx store.Tx) error {
							sim := api.SIM{ICCID: fmt.Sprint(n)}
							_, err := tx.AppendEvent(api.Event{Time: time.Now(), SIM: &sim})
							return err
						})
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ResetTimer()
			for n := range b.N {
				work <- n
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

// BenchmarkView measures a small view, and closes the store.
func BenchmarkView(b *testing.B, s store.Store) {
	defer s.Close()
	for b.Loop() {
		if err := s.View(b.Context(), func(tx store.Tx) error { _, err := tx.Revision(); return err }); err != nil {
			b.Fatal(err)
		}
	}
}
