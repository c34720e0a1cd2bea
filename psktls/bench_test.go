package psktls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// BenchmarkHandshake counts both sides of a handshake in memory, beside crypto/tls with
// certificates on both sides and the same curve for the key exchange. The goal is 1.5 times its
// rate with TLS 1.3 (issue 4).
func BenchmarkHandshake(b *testing.B) {
	for name, c := range map[string]struct {
		version uint16
		plain   bool
	}{
		"psktls 1.3 psk_dhe_ke": {VersionTLS13, false}, "psktls 1.3 psk_ke": {VersionTLS13, true},
		"psktls 1.2 ECDHE_PSK": {VersionTLS12, false}, "psktls 1.2 PSK": {VersionTLS12, true},
	} {
		client, server := clientConfig2(c.version), serverConfig()
		if c.plain {
			client.AllowPSKOnly, client.Curves, server.AllowPSKOnly = true, []tls.CurveID{}, true
		}
		b.Run(name, func(b *testing.B) {
			rate(b, func(x, y net.Conn) (handshaker, handshaker) { return Client(x, client), Server(y, server) })
		})
	}
	certificates := mutual(b)
	b.Run("crypto-tls 1.3 mutual P-256", func(b *testing.B) {
		rate(b, func(x, y net.Conn) (handshaker, handshaker) {
			return tls.Client(x, certificates), tls.Server(y, certificates)
		})
	})
}

type handshaker interface{ Handshake() error }

func rate(b *testing.B, pair func(x, y net.Conn) (client, server handshaker)) {
	b.ReportAllocs()
	for b.Loop() {
		x, y := pipe()
		client, server := pair(x, y)
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		if err := client.Handshake(); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
}

// mutual is a configuration of crypto/tls for either side: one certificate that both have
// and trust, X25519, no tickets.
func mutual(b *testing.B) *tls.Config {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.net"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "example.net",
		CurvePreferences: []tls.CurveID{tls.X25519}, SessionTicketsDisabled: true,
	}
}

// BenchmarkBulk sends records of 16 KiB one way, beside crypto/tls with the same AEAD. The goal is
// 0.9 times its throughput (issue 4).
func BenchmarkBulk(b *testing.B) {
	for _, id := range []uint16{TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256, TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, TLS_AES_128_CCM_SHA256} {
		s := suiteByID(id)
		b.Run("psktls "+s.name, func(b *testing.B) {
			client, server := connected(b, with(clientConfig(), s), with(serverConfig(), s))
			bulk(b, client, server)
		})
	}
	certificates := mutual(b)
	for name, c := range map[string]struct {
		version uint16
		suites  []uint16
	}{
		// crypto/tls chooses the suite of TLS 1.3 itself: AES-128-GCM where the processor has AES.
		"crypto-tls TLS_AES_128_GCM_SHA256":                  {tls.VersionTLS13, nil},
		"crypto-tls 1.2 ECDHE_ECDSA_WITH_CHACHA20_POLY1305":  {tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
		"crypto-tls 1.2 ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": {tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
	} {
		config := certificates.Clone()
		config.MinVersion, config.MaxVersion, config.CipherSuites = c.version, c.version, c.suites
		config.DynamicRecordSizingDisabled = true
		b.Run(name, func(b *testing.B) {
			x, y := pipe()
			client, server := tls.Client(x, config), tls.Server(y, config)
			go server.Handshake() //nolint:errcheck // the client's tells
			if err := client.Handshake(); err != nil {
				b.Fatal(err)
			}
			bulk(b, client, server)
		})
	}
}

func bulk(b *testing.B, from io.Writer, to io.Reader) {
	data := make([]byte, 16<<10)
	got := make([]byte, len(data))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Write(data); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(to, got); err != nil {
			b.Fatal(err)
		}
	}
}
