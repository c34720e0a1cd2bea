package credential_test

import (
	"sync/atomic"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// BenchmarkEnrol is an enrolment without the network.
func BenchmarkEnrol(b *testing.B) {
	w := fixture.New(b)
	if _, err := w.Registry.CreateFleet(b.Context(), "test", api.Fleet{Name: "many", Profile: api.Profile{}}); err != nil {
		b.Fatal(err)
	}
	meters := fleet(b, w, "many")
	iccids, err := w.Import(b.Context(), "many", b.N)
	if err != nil {
		b.Fatal(err)
	}
	key := newKey(b)
	var next atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := w.Life.Enrol(b.Context(), credential.Enrolment{Fleet: meters, ICCID: iccids[next.Add(1)-1], Key: key}); err != nil {
				b.Error(err)
			}
		}
	})
}
