package appserver

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// BenchmarkHandshake compares a TLS 1.3 handshake with mutual authentication through the
// middleware with one of crypto/tls alone, over loopback, both ends counted.
func BenchmarkHandshake(b *testing.B) {
	p := platformtest.New(b)
	sim := p.Provision(b, platformtest.ICCID(1))
	m := open(b, p, Options{})
	own := []tls.Certificate{p.CA.Server(b, "server.example")}
	plain := &tls.Config{Certificates: own, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: m.anchors.Load().pool}
	client := clientConfig(p, sim.Certificate, tls.VersionTLS13)
	run := func(b *testing.B, server *tls.Config, finish func(*tls.Conn) error) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			there, here := pair(b)
			b.StartTimer()
			done := make(chan error, 1)
			go func() { done <- tls.Client(here, client).Handshake() }()
			if err := finish(tls.Server(there, server)); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			here.Close()
			there.Close()
			b.StartTimer()
		}
	}
	b.Run("plain", func(b *testing.B) {
		run(b, plain, func(c *tls.Conn) error { return c.HandshakeContext(b.Context()) })
	})
	b.Run("middleware", func(b *testing.B) {
		run(b, m.TLSConfig(&tls.Config{Certificates: own}), func(c *tls.Conn) error {
			conn, err := m.Admit(b.Context(), c)
			if err == nil {
				m.live.remove(conn)
			}
			return err
		})
	})
}

// BenchmarkLookup looks up one of a million credentials after another, in no order.
func BenchmarkLookup(b *testing.B) {
	p := platformtest.New(b)
	m := open(b, p, Options{})
	const count = 1_000_000
	r := newReplica()
	prints := make([]Fingerprint, count)
	for i := range prints {
		prints[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		sim := entry{ICCID: platformtest.ICCID(i), Fleet: "meters", State: string(api.Provisioned)}
		c := entry{
			ICCID: sim.ICCID, Fleet: "meters", State: string(api.Active), ID: fmt.Sprintf("%032x", i), Type: api.CertificateType,
			Fingerprint: prints[i][:], NotAfter: time.Unix(1_900_000_000, 0),
		}
		r.apply(&sim)
		r.apply(&c)
	}
	r.ID = "first"
	m.mu.Lock()
	m.current = r
	m.mu.Unlock()
	rand.Shuffle(count, func(i, j int) { prints[i], prints[j] = prints[j], prints[i] })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := m.Lookup(prints[i%count]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory tells what a credential costs in memory, its SIM and every index included, at
// a million of them: the goal is 200 bytes.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []api.CredentialType{api.CertificateType, api.PSKType} {
		b.Run(string(kind), func(b *testing.B) {
			const count = 1_000_000
			tenants := make([]Attributes, 100)
			for i := range tenants {
				tenants[i] = packAttributes(api.Attributes{"tenant": fmt.Sprint(i), "revision": "2"})
			}
			for b.Loop() {
				before := heap()
				r := newReplica()
				e := entry{Fleet: "meters", Type: kind, State: string(api.Active), NotAfter: time.Unix(1_900_000_000, 0)}
				for i := range count {
					e.ICCID, e.ID, e.Confirmation = platformtest.ICCID(i), "", nil
					e.Attributes = tenants[i%len(tenants)]
					r.apply(&e)
					print := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
					e.ID = fmt.Sprintf("%032x", print[:16])
					if kind == api.PSKType {
						e.Identity, e.Confirmation = plainForm(e.ICCID, e.ID), &api.Confirmation{Challenge: print[:], Proof: print[:]}
					} else {
						e.Fingerprint, e.Serial = print[:], serialOf(hex.EncodeToString(print[:16]))
					}
					r.apply(&e)
				}
				b.ReportMetric(float64(heap()-before)/count, "B/credential")
				runtime.KeepAlive(r)
			}
		})
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// BenchmarkReplay reads a journal of 100,000 events, which is what a restart costs.
func BenchmarkReplay(b *testing.B) {
	events := history(42_858)[:100_000]
	for name, state := range map[string]int{"events": 0, "state": len(events)} {
		dir := b.TempDir()
		writeJournal(b, dir, events, state)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				j, _, damage, err := openJournal(dir)
				if err != nil || damage != nil {
					b.Fatal(err, damage)
				}
				j.close()
			}
		})
	}
}

// BenchmarkRevocation measures the time from a revocation at the platform to the end of the connection.
func BenchmarkRevocation(b *testing.B) {
	p := platformtest.New(b)
	m := open(b, p, Options{})
	server := serverConfig(b, m, p)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		sim := p.Provision(b, platformtest.ICCID(i))
		inStep(b, m, p)
		conn, device, err := connect(b, m, server, clientConfig(p, sim.Certificate, tls.VersionTLS13))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		p.SetCredential(sim.Credential, "revoked")
		device.Read(make([]byte, 1))
		b.StopTimer()
		if conn.Cause() != ErrRevoked {
			b.Fatal(conn.Cause())
		}
		device.NetConn().Close()
		b.StartTimer()
	}
}
