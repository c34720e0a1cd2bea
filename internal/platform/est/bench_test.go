package est

import (
	"crypto/x509"
	"sync"
	"testing"
)

// BenchmarkEnrol enrols SIMs with their one-time secrets, many at once, every commit synced.
func BenchmarkEnrol(b *testing.B) {
	w := newWorld(b)
	iccids, err := w.Import(b.Context(), "secrets", b.N)
	if err != nil {
		b.Fatal(err)
	}
	requests := make([]Request, b.N)
	for i, iccid := range iccids {
		made, err := w.Registry.NewEnrolmentSecret(b.Context(), "me", iccid)
		if err != nil {
			b.Fatal(err)
		}
		requests[i] = Request{Fleet: "secrets", Basic: true, User: iccid, Password: made.Secret, CSR: csr(b, x509.CertificateRequest{}, newKey(b))}
	}
	work := make(chan Request)
	var group sync.WaitGroup
	b.ResetTimer()
	for range 32 {
		group.Go(func() {
			for r := range work {
				if _, err := w.Enrol(b.Context(), r); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, r := range requests {
		work <- r
	}
	close(work)
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "enrolments/s")
}
