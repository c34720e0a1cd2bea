package vsim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/applet"
)

// benchCard is a card in memory, as the profile "common" makes it, with a key generated
// in container 01. The applet is selected on channel 1.
func benchCard(b *testing.B) *vsim.Card {
	b.Helper()
	state, err := vsim.Profile("common", "89010000000000000017")
	if err != nil {
		b.Fatal(err)
	}
	fill(b, &state.Applet)
	c := vsim.NewMemory(state)
	b.Cleanup(func() { c.Close() })
	send(b, c, "0070000001")
	send(b, c, "01A4040007A0000005590010")
	return c
}

// fill makes the first key pair and file of a store.
func fill(b *testing.B, s *applet.State) {
	b.Helper()
	a := applet.New(*s, [10]byte{}, func(next applet.State) error { *s = next; return nil })
	commands, err := perso.Commands(
		perso.Generate{Private: "\x01", Public: "\x01"},
		perso.Write{File: "\x02", Bytes: make([]byte, 200)},
		perso.Activate{Refs: []perso.Ref{
			{Kind: iotsafe.PrivateKey, ID: "\x01"}, {Kind: iotsafe.PublicKey, ID: "\x01"}, {Kind: iotsafe.File, ID: "\x02"},
		}},
	)
	if err != nil {
		b.Fatal(err)
	}
	a.BeginPersonalization(func(b []byte) ([]byte, error) { return b, nil })
	for _, c := range commands {
		if r := a.StoreData(c.P1, c.P2, c.Data); r.SW.Err() != nil {
			b.Fatal(r.SW)
		}
	}
}

func send(b *testing.B, c *vsim.Card, command string) {
	b.Helper()
	if answer := transmit(b, c, raw(b, command)); answer[len(answer)-2] != 0x90 {
		b.Fatalf("%s was answered % X", command, answer)
	}
}

func transmit(b *testing.B, c *vsim.Card, command []byte) []byte {
	answer, err := c.Transmit(b.Context(), command)
	if err != nil {
		b.Fatal(err)
	}
	return answer
}

func raw(b *testing.B, s string) []byte {
	b.Helper()
	command, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		b.Fatal(err)
	}
	return command
}

// BenchmarkTransmit is what the card itself costs, for commands without cryptography.
// The goal is 2 µs and 10 allocations at most for each.
func BenchmarkTransmit(b *testing.B) {
	for name, command := range map[string]string{
		"application": "81CB000044",
		"object":      "81CBC3000383010200",
		"read-file":   "81B000000383010200",
		"sign-init":   "812A00010D840101A1010391020001920104",
		"select":      "01A4040007A0000005590010",
		"refusal":     "812B80012E",
	} {
		b.Run(name, func(b *testing.B) {
			c, command := benchCard(b), raw(b, command)
			b.ReportAllocs()
			for b.Loop() {
				transmit(b, c, command)
			}
		})
	}
}

// BenchmarkSignRatio is a signature in two commands over one by ecdsa.Sign alone. Both are
// measured in turns, so that what else the machine does falls on both. The goal is 1.3.
func BenchmarkSignRatio(b *testing.B) {
	c := benchCard(b)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := make([]byte, 32)
	first := raw(b, "812A00010D840101A1010391020001920104")
	second := append(raw(b, "812B8001229E20"), append(digest, 0)...)
	var card, alone time.Duration
	for b.Loop() {
		start := time.Now()
		transmit(b, c, first)
		answer := transmit(b, c, second)
		middle := time.Now()
		if _, _, err := ecdsa.Sign(rand.Reader, key, digest); err != nil {
			b.Fatal(err)
		}
		card, alone = card+middle.Sub(start), alone+time.Since(middle)
		if len(answer) != 69 {
			b.Fatalf("% X", answer)
		}
	}
	b.ReportMetric(float64(card)/float64(alone), "card/alone")
}
