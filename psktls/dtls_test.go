package psktls

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var dtlsSecret = bytes.Repeat([]byte{7}, 16)

func dtlsConfigs(suite uint16) (client, server *Config) {
	client = &Config{Identity: []byte("meter"), Key: SecretKey(dtlsSecret), AllowPSKOnly: true}
	server = &Config{AllowPSKOnly: true, GetKey: func(_ context.Context, identity []byte) (Key, error) {
		if string(identity) != "meter" {
			return nil, ErrUnknownIdentity
		}
		return SecretKey(dtlsSecret), nil
	}}
	if suite != 0 {
		client.CipherSuites = []uint16{suite}
	}
	return client, server
}

// dtlsNet is a line between two machines, with a clock of its own.
type dtlsNet struct {
	t              testing.TB
	now            time.Time
	random         *rand.Rand
	loss           float64 // also the share of what comes twice, and of what comes late
	client, server *DTLS
	config         *Config // the server's
	mtu            int
	serverID       []byte
	cookies        *DTLSCookies
	flying         []dtlsPacket
	clientErr      error
	serverErr      error
}

type dtlsPacket struct {
	at       time.Time
	toServer bool
	data     []byte
}

func newDTLSNet(t testing.TB, client, server *Config, mtu int, seed uint64, loss float64) *dtlsNet {
	c, err := NewDTLS(client, true, DTLSOptions{MTU: mtu})
	if err != nil {
		t.Fatal(err)
	}
	return &dtlsNet{
		t: t, now: time.Unix(1e9, 0), random: rand.New(rand.NewPCG(seed, 1)), loss: loss,
		client: c, config: server, mtu: mtu, cookies: NewDTLSCookies(),
	}
}

func (n *dtlsNet) launch(toServer bool, datagrams [][]byte) {
	for _, d := range datagrams {
		if n.mtu != 0 && len(d) > n.mtu && d[dtlsHeaderLen] != typeClientHello {
			n.t.Errorf("a datagram of %d bytes with an MTU of %d", len(d), n.mtu)
		}
		copies := 1
		if n.random.Float64() < n.loss {
			copies = 0
		} else if n.random.Float64() < n.loss {
			copies = 2
		}
		for range copies {
			delay := 10 * time.Millisecond
			if n.random.Float64() < n.loss {
				delay += time.Duration(n.random.IntN(40)) * time.Millisecond
			}
			n.flying = append(n.flying, dtlsPacket{n.now.Add(delay), toServer, bytes.Clone(d)})
		}
	}
}

// run lets time pass until nothing flies and no clock runs, or until both are complete.
func (n *dtlsNet) run() {
	if n.client.state == awaitServerHello && n.client.flight == nil {
		n.clientErr = n.client.Start(n.t.Context(), n.now)
	}
	for range 10000 {
		n.launch(true, n.client.Outgoing())
		if n.server != nil {
			n.launch(false, n.server.Outgoing())
		}
		slices.SortStableFunc(n.flying, func(a, b dtlsPacket) int { return a.at.Compare(b.at) })
		next := time.Time{}
		take := func(t time.Time) {
			if !t.IsZero() && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
		take(n.client.Deadline())
		if n.server != nil {
			take(n.server.Deadline())
		}
		if len(n.flying) > 0 {
			take(n.flying[0].at)
		}
		if next.IsZero() {
			return
		}
		n.now = next
		if len(n.flying) > 0 && !n.flying[0].at.After(n.now) {
			p := n.flying[0]
			n.flying = n.flying[1:]
			n.arrive(p)
			continue
		}
		n.clientErr = cmp.Or(n.clientErr, n.client.Expire(n.now))
		if n.server != nil {
			n.serverErr = cmp.Or(n.serverErr, n.server.Expire(n.now))
		}
	}
	n.t.Fatal("it never ends")
}

func (n *dtlsNet) arrive(p dtlsPacket) {
	if !p.toServer {
		if err := n.client.Receive(n.t.Context(), n.now, p.data); n.clientErr == nil {
			n.clientErr = err
		}
		return
	}
	if n.server == nil {
		_, ok, answer := n.cookies.Check(n.now, "a:1", p.data)
		if answer != nil {
			n.launch(false, [][]byte{answer})
		}
		if !ok {
			return
		}
		s, err := NewDTLS(n.config, false, DTLSOptions{MTU: n.mtu, ConnectionID: n.serverID})
		if err != nil {
			n.t.Fatal(err)
		}
		n.server = s
	}
	if err := n.server.Receive(n.t.Context(), n.now, p.data); n.serverErr == nil {
		n.serverErr = err
	}
}

// completes runs a handshake that must succeed, and data both ways.
func (n *dtlsNet) completes() {
	n.t.Helper()
	n.run()
	if n.clientErr != nil || n.serverErr != nil || n.server == nil || !n.client.Complete() || !n.server.Complete() {
		n.t.Fatalf("client %v, server %v", n.clientErr, n.serverErr)
	}
	n.loss = 0
	for _, x := range []struct{ from, to *DTLS }{{n.client, n.server}, {n.server, n.client}} {
		if err := x.from.Send([]byte("hello")); err != nil {
			n.t.Fatal(err)
		}
		n.run()
		if got := x.to.Incoming(); len(got) != 1 || string(got[0]) != "hello" {
			n.t.Fatalf("%q arrived", got)
		}
	}
}

func TestDTLSWithEverySuite(t *testing.T) {
	for _, s := range suites {
		if s.version != VersionTLS12 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			client, server := dtlsConfigs(s.id)
			n := newDTLSNet(t, client, server, 0, 1, 0)
			n.completes()
			for _, state := range []ConnectionState{n.client.ConnectionState(), n.server.ConnectionState()} {
				if state.CipherSuite != s.id || state.Version != VersionDTLS12 || !state.ExtendedMasterSecret || string(state.Identity) != "meter" {
					t.Errorf("state %+v", state)
				}
			}
			a, _ := n.client.h.state.ExportKeyingMaterial("EXPORTER-x", nil, 16)
			b, err := n.server.h.state.ExportKeyingMaterial("EXPORTER-x", nil, 16)
			if err != nil || !bytes.Equal(a, b) {
				t.Errorf("exports %x and %x, %v", a, b, err)
			}
		})
	}
}

func TestDTLSCompletesOverLossyLines(t *testing.T) {
	for _, mtu := range []int{MinMTU, 256, DefaultMTU} {
		for seed := range uint64(150) {
			client, server := dtlsConfigs(0)
			client.ServerName = "a-name-that-is-long-enough-to-need-a-fragment.example.net"
			n := newDTLSNet(t, client, server, mtu, seed, 0.1)
			n.completes()
			if t.Failed() {
				t.Fatalf("seed %d, MTU %d", seed, mtu)
			}
		}
	}
}

func TestDTLSRepeatsAfterOneSecondAndDoubles(t *testing.T) {
	client, _ := dtlsConfigs(0)
	d, err := NewDTLS(client, true, DTLSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	if err := d.Start(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	for err == nil {
		if len(d.Outgoing()) != 1 {
			t.Fatal("not one datagram")
		}
		waits = append(waits, d.Deadline().Sub(now))
		now = d.Deadline()
		err = d.Expire(now)
	}
	if got := fmt.Sprint(waits); got != "[1s 2s 4s 8s 16s 32s 1m0s]" || !errors.Is(err, ErrDTLSTimeout) {
		t.Errorf("%v, then %v", got, err)
	}
}

func TestDTLSWithAWrongKeyOrUnknownIdentityTimesOut(t *testing.T) {
	wrong, server := dtlsConfigs(0)
	wrong.Key = SecretKey([]byte("another key, really"))
	stranger, _ := dtlsConfigs(0)
	stranger.Identity = []byte("stranger")
	for _, client := range []*Config{wrong, stranger} {
		n := newDTLSNet(t, client, server, 0, 1, 0)
		n.run()
		if !errors.Is(n.clientErr, ErrDTLSTimeout) || !errors.Is(n.serverErr, ErrDTLSTimeout) {
			t.Errorf("client %v, server %v", n.clientErr, n.serverErr)
		}
		if got := errors.Is(n.serverErr, ErrUnknownIdentity); got != (client == stranger) {
			t.Errorf("the server's own error: %v", n.serverErr)
		}
	}
}

func TestDTLSTakesNoRecordTwiceAndNoForgedOne(t *testing.T) {
	client, server := dtlsConfigs(0)
	n := newDTLSNet(t, client, server, 0, 1, 0)
	n.completes()
	if err := n.client.Send([]byte("once")); err != nil {
		t.Fatal(err)
	}
	sent := n.client.Outgoing()[0]
	forged := bytes.Clone(sent)
	forged[len(forged)-1] ^= 1
	for _, d := range [][]byte{forged, bytes.Clone(sent), bytes.Clone(sent), sent[:len(sent)-1]} {
		if err := n.server.Receive(t.Context(), n.now, d); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.server.Incoming(); len(got) != 1 || string(got[0]) != "once" {
		t.Errorf("%q", got)
	}
}

func TestReplayWindow(t *testing.T) {
	var w replayWindow
	for _, x := range []struct {
		seq   uint64
		fresh bool
	}{{5, true}, {5, false}, {4, true}, {4, false}, {69, true}, {5, false}, {6, true}, {6, false}, {500, true}, {436, false}, {437, true}, {499, true}} {
		if w.fresh(x.seq) != x.fresh {
			t.Fatalf("record %d: fresh is %v", x.seq, !x.fresh)
		}
		if x.fresh {
			w.mark(x.seq)
		}
	}
}

func TestDTLSCookiesAreForOneAddressAndTime(t *testing.T) {
	client, _ := dtlsConfigs(0)
	d, _ := NewDTLS(client, true, DTLSOptions{})
	cookies, now := NewDTLSCookies(), time.Unix(1e9, 0)
	if err := d.Start(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	hello := d.Outgoing()[0]
	_, ok, answer := cookies.Check(now, "a", hello)
	if ok || answer == nil || len(answer) > len(hello) {
		t.Fatalf("%v, an answer of %d bytes to %d", ok, len(answer), len(hello))
	}
	if err := d.Receive(t.Context(), now, answer); err != nil {
		t.Fatal(err)
	}
	second := d.Outgoing()[0]
	for _, x := range []struct {
		address string
		after   time.Duration
		ok      bool
	}{{"a", 0, true}, {"a", time.Minute, true}, {"b", 0, false}, {"a", 3 * time.Minute, false}} {
		if _, ok, _ := cookies.Check(now.Add(x.after), x.address, second); ok != x.ok {
			t.Errorf("%+v: %v", x, ok)
		}
	}
}

func TestDTLSCloseNotifyEndsBothSides(t *testing.T) {
	client, server := dtlsConfigs(0)
	n := newDTLSNet(t, client, server, 0, 1, 0)
	n.completes()
	n.client.Close()
	n.run()
	if n.serverErr != io.EOF {
		t.Errorf("the server: %v", n.serverErr)
	}
	if n.client.Send(nil) == nil || n.server.Send(nil) == nil {
		t.Error("data after the end")
	}
}

func TestDTLSBareAlertsCountOnlyUntilTheHandshakeIsComplete(t *testing.T) {
	refused := []byte{21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, alertLevelFatal, byte(AlertHandshakeFailure)}
	client, server := dtlsConfigs(0)
	n := newDTLSNet(t, client, server, 0, 1, 0)
	n.completes()
	if err := n.client.Receive(t.Context(), n.now, bytes.Clone(refused)); err != nil {
		t.Errorf("a stranger ended the connection: %v", err)
	}
	d, _ := NewDTLS(client, true, DTLSOptions{})
	if err := d.Start(t.Context(), n.now); err != nil {
		t.Fatal(err)
	}
	var alert *AlertError
	if err := d.Receive(t.Context(), n.now, bytes.Clone(refused)); !errors.As(err, &alert) || !alert.Remote || alert.Alert != AlertHandshakeFailure {
		t.Errorf("a refusal: %v", err)
	}
}

func FuzzDTLSReceive(f *testing.F) {
	client, server := dtlsConfigs(0)
	n := newDTLSNet(f, client, server, 0, 1, 0)
	n.completes()
	f.Add([]byte{22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0}, false)
	c, _ := NewDTLS(client, true, DTLSOptions{MTU: MinMTU})
	if err := c.Start(f.Context(), n.now); err != nil {
		f.Fatal(err)
	}
	for _, d := range c.Outgoing() {
		f.Add(d, false)
		f.Add(append(bytes.Clone(d), d...), true)
	}
	f.Fuzz(func(t *testing.T, datagram []byte, asClient bool) {
		NewDTLSCookies().Check(time.Unix(0, 0), "a", datagram)
		config := server
		if asClient {
			config = client
		}
		d, err := NewDTLS(config, asClient, DTLSOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d.Start(t.Context(), time.Unix(0, 0))                          //nolint:errcheck // must not panic
		d.Receive(t.Context(), time.Unix(0, 0), bytes.Clone(datagram)) //nolint:errcheck // likewise
		d.Receive(t.Context(), time.Unix(2, 0), bytes.Clone(datagram)) //nolint:errcheck // likewise
	})
}

func BenchmarkDTLSHandshake(b *testing.B) {
	for _, id := range []uint16{TLS_PSK_WITH_AES_128_CCM_8, TLS_PSK_WITH_AES_128_GCM_SHA256, TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256} {
		b.Run(CipherSuiteName(id), func(b *testing.B) {
			client, server := dtlsConfigs(id)
			b.ReportAllocs()
			for b.Loop() {
				n := newDTLSNet(b, client, server, 0, 1, 0)
				n.run()
				if !n.client.Complete() || !n.server.Complete() {
					b.Fatal(n.clientErr, n.serverErr)
				}
			}
		})
	}
}

func TestDTLSAgreesOnAProtocolAndLogsItsKeys(t *testing.T) {
	client, server := dtlsConfigs(0)
	var log bytes.Buffer
	client.NextProtos, server.NextProtos, client.ServerName = []string{"mqtt", "coap"}, []string{"coap"}, "device.example"
	client.KeyLogWriter = &log
	n := newDTLSNet(t, client, server, 0, 1, 0)
	n.completes()
	for _, state := range []ConnectionState{n.client.ConnectionState(), n.server.ConnectionState()} {
		if state.NegotiatedProtocol != "coap" || state.ServerName != "device.example" {
			t.Errorf("%+v", state)
		}
	}
	if line := log.String(); !strings.HasPrefix(line, "CLIENT_RANDOM ") || strings.Count(line, "\n") != 1 || len(line) != len("CLIENT_RANDOM ")+64+1+2*masterSecretLen+1 {
		t.Errorf("the key log has %d bytes", len(line))
	}

	server.NextProtos = []string{"http/1.1"}
	n = newDTLSNet(t, client, server, 0, 1, 0)
	n.run()
	wantAlert(t, n.clientErr, AlertNoApplicationProtocol, true)
}

func TestDTLSRefusesWhatItNeverSpeaks(t *testing.T) {
	hello := func(change func(*clientHello)) *clientHello {
		m := &clientHello{version: VersionDTLS12, suites: []uint16{TLS_PSK_WITH_AES_128_GCM_SHA256}, compression: []byte{0}, extendedMaster: true, renegotiation: true}
		change(m)
		return m
	}
	client, server := dtlsConfigs(0)
	server.RequireExtendedMasterSecret = true
	for name, x := range map[string]struct {
		hello *clientHello
		alert Alert
	}{
		"DTLS 1.0":                  {hello(func(m *clientHello) { m.version = 0xFEFF }), AlertProtocolVersion},
		"TLS":                       {hello(func(m *clientHello) { m.version = VersionTLS12 }), AlertProtocolVersion},
		"DTLS 1.3 alone":            {hello(func(m *clientHello) { m.versions = []uint16{0xFEFC} }), AlertProtocolVersion},
		"compression":               {hello(func(m *clientHello) { m.compression = []byte{1} }), AlertIllegalParameter},
		"an unknown suite":          {hello(func(m *clientHello) { m.suites = []uint16{0x1234} }), AlertHandshakeFailure},
		"no extended master secret": {hello(func(m *clientHello) { m.extendedMaster = false }), AlertHandshakeFailure},
		"a suite of TLS 1.3":        {hello(func(m *clientHello) { m.suites = []uint16{TLS_AES_128_GCM_SHA256} }), AlertHandshakeFailure},
		"ECDHE with unknown curves": {hello(func(m *clientHello) {
			m.suites, m.curves = []uint16{TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256}, []uint16{99}
		}), AlertHandshakeFailure},
		"a renegotiation to take up": {nil, AlertHandshakeFailure},
	} {
		t.Run("client with "+name, func(t *testing.T) {
			d, err := NewDTLS(server, false, DTLSOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Start(t.Context(), time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
			m := x.hello
			if m == nil {
				m = hello(func(*clientHello) {})
			}
			body, err := encode(m)
			if err != nil {
				t.Fatal(err)
			}
			body = body[handshakeHeaderLen:]
			if x.hello == nil { // what we write says that nothing was before
				at := bytes.Index(body, []byte{0xFF, 0x01, 0, 1, 0})
				body = slices.Concat(body[:at], []byte{0xFF, 0x01, 0, 3, 2, 7, 7}, body[at+5:])
				extensions := 2 + 32 + 1 + 2 + 2*len(m.suites) + 1 + len(m.compression)
				body[extensions+1] += 2
			}
			withCookie := slices.Concat(body[:35], []byte{0}, body[35:])
			record := rawRecord(t, nil, recordHandshake, 0, encodeDTLS(typeClientHello, 0, withCookie))
			wantAlert(t, d.Receive(t.Context(), time.Unix(0, 0), record), x.alert, false)
		})
	}
	for name, x := range map[string]struct {
		change func(*serverHello)
		alert  Alert
	}{
		"DTLS 1.0":                 {func(m *serverHello) { m.version = 0xFEFF }, AlertProtocolVersion},
		"compression":              {func(m *serverHello) { m.compression = 1 }, AlertIllegalParameter},
		"a suite not offered":      {func(m *serverHello) { m.suite = TLS_AES_128_GCM_SHA256 }, AlertIllegalParameter},
		"no secure renegotiation":  {func(m *serverHello) { m.renegotiation = false }, AlertHandshakeFailure},
		"a protocol not asked for": {func(m *serverHello) { m.alpn = []string{"coap"} }, AlertUnsupportedExtension},
	} {
		t.Run("server with "+name, func(t *testing.T) {
			d, err := NewDTLS(client, true, DTLSOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Start(t.Context(), time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
			m := &serverHello{version: VersionDTLS12, suite: TLS_PSK_WITH_AES_128_GCM_SHA256, extendedMaster: true, renegotiation: true}
			x.change(m)
			wantAlert(t, d.Receive(t.Context(), time.Unix(0, 0), handshakeRecord(t, 0, 0, m)), x.alert, false)
		})
	}
}
