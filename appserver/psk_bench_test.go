package appserver

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/psktls"
)

// pskBench is a server with a PSK sealed on disk, one with the same in memory, and the client.
func pskBench(b *testing.B) (sealed, memory *psktls.Config, k platformtest.PSK) {
	b.Helper()
	p := platformtest.New(b)
	m, public := openPSK(b, p, Options{})
	k = p.ProvisionPSK(b, platformtest.ICCID(1), public)
	inStep(b, m, p)
	secretsReady(b, m)
	known := psktls.SecretKey(k.Secret)
	return pskConfig(b, m), &psktls.Config{AllowPSKOnly: true, GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
		if string(identity) != k.Identity {
			return nil, psktls.ErrUnknownIdentity
		}
		return known, nil
	}}, k
}

// pskHandshake runs one handshake in memory, and tells whether it succeeded.
func pskHandshake(server, client *psktls.Config) bool {
	there, here := net.Pipe()
	defer there.Close()
	defer here.Close()
	done := make(chan error, 1)
	go func() { done <- psktls.Server(there, server).Handshake() }()
	device := psktls.Client(here, client)
	err := device.Handshake()
	if err == nil {
		return <-done == nil
	}
	here.Close()
	<-done
	return false
}

var benchVersions = map[string]uint16{"1.2": psktls.VersionTLS12, "1.3": psktls.VersionTLS13}

// BenchmarkPSKHandshake is what it costs to look an identity up and to open its secret.
func BenchmarkPSKHandshake(b *testing.B) {
	sealed, memory, k := pskBench(b)
	for name, server := range map[string]*psktls.Config{"sealed": sealed, "memory": memory} {
		for version, number := range benchVersions {
			b.Run(name+"_"+version, func(b *testing.B) {
				client := pskClient(k)
				client.MinVersion, client.MaxVersion = number, number
				b.ReportAllocs()
				for b.Loop() {
					if !pskHandshake(server, client) {
						b.Fatal("refused")
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
			})
		}
	}
}

// BenchmarkPSKRefusal holds the time that an unknown identity takes to that of a wrong key.
func BenchmarkPSKRefusal(b *testing.B) {
	server, _, k := pskBench(b)
	wrong := k
	wrong.Secret = make([]byte, len(k.Secret))
	unknown := wrong
	unknown.Identity = strings.Repeat("x", len(k.Identity))
	for name, who := range map[string]platformtest.PSK{"unknown": unknown, "wrong": wrong} {
		for version, number := range benchVersions {
			b.Run(name+"_"+version, func(b *testing.B) {
				client := pskClient(who)
				client.MinVersion, client.MaxVersion = number, number
				for b.Loop() {
					if pskHandshake(server, client) {
						b.Fatal("let in")
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
			})
		}
	}
}

// BenchmarkOpenSecret is the cost of one secret, from the file to the key.
func BenchmarkOpenSecret(b *testing.B) {
	v, _ := newVault(b, 1000)
	for name, id := range map[string]string{"known": "credential 500", "decoy": ""} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				secret, _, err := v.open(id)
				if err != nil {
					b.Fatal(err)
				}
				clear(secret)
			}
		})
	}
}
