package vsim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
)

// BenchmarkSignRatio is a signature in two commands over one by ecdsa.Sign alone. Both are
// measured in turns, so that what else the machine does falls on both. The goal is 1.3 at
// most.
func BenchmarkSignRatio(b *testing.B) {
	c := vsim.NewMemory(provisioned(b)())
	if err := card.Select(b.Context(), c, 1, iotsafe.AIDs[0]); err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := make([]byte, 32)
	initialise := []byte{0x81, 0x2A, 0, 1, 0x0D, 0x84, 1, 1, 0xA1, 1, 3, 0x91, 2, 0, 1, 0x92, 1, 4}
	update := append(append([]byte{0x81, 0x2B, 0x80, 1, 0x22, 0x9E, 0x20}, digest...), 0)
	var ours, alone time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := c.Transmit(b.Context(), initialise); err != nil {
			b.Fatal(err)
		}
		answer, err := c.Transmit(b.Context(), update)
		if err != nil || len(answer) != 69 {
			b.Fatalf("% X, %v", answer, err)
		}
		middle := time.Now()
		if _, _, err := ecdsa.Sign(rand.Reader, key, digest); err != nil {
			b.Fatal(err)
		}
		ours, alone = ours+middle.Sub(start), alone+time.Since(middle)
	}
	b.ReportMetric(float64(ours)/float64(alone), "card/alone")
}
