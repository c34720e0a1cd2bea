package psktls

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// certificateServer is a server of TLS 1.3 with certificates, good enough to do a handshake with
// an imposter's hands on its records. It does not verify the client.
type certificateServer struct {
	own  tls.Certificate
	asks bool // for the client's certificate

	// change, if set, changes what it sends.
	change func(m message) message
}

// handshake does what Conn.Handshake does for servers with a PSK.
func (s *certificateServer) handshake(c *Conn) error {
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	c.in.Lock()
	defer c.in.Unlock()
	set, err := c.config.settle(false)
	if err != nil {
		return err
	}
	if err := s.serve(&handshake{Conn: c, ctx: context.Background(), set: set}); err != nil {
		c.abort(err)
		return err
	}
	c.handshaken.Store(true)
	return nil
}

func (s *certificateServer) serve(h *handshake) error {
	h.in.tolerateCCS = true
	raw, err := h.readClientHello()
	if err != nil {
		return err
	}
	h.negotiated(suiteByID(TLS_AES_128_GCM_SHA256))
	h.transcript.start(h.suite.hash)
	h.transcript.add(raw)
	schedule, err := noPSK(h.suite.hash)
	if err != nil {
		return err
	}
	share := h.hello.shares[0]
	key, err := h.ephemeralKey(share.group)
	if err != nil {
		return err
	}
	if err := h.agree(schedule, key, share.group, share.data); err != nil {
		return err
	}
	hello := &serverHello{version: VersionTLS12, suite: h.suite.id, selected: VersionTLS13, share: &keyShare{share.group, key.Public()}}
	if err := s.send(h, hello); err != nil {
		return err
	}
	keys, err := h.handshakeKeys(schedule)
	if err != nil {
		return err
	}
	if err := h.changeIn(keys.client); err != nil {
		return err
	}
	h.changeOut(keys.server)
	if err := s.sendFlight(h, keys); err != nil {
		return err
	}
	app, err := h.applicationKeys(schedule)
	if err != nil {
		return err
	}
	h.changeOut(app.server)
	if s.asks {
		for _, kind := range []uint8{typeCertificate, typeCertificateVerify} {
			if _, err := h.receive(kind); err != nil {
				return err
			}
		}
	}
	if err := h.receiveFinished(keys.clientFinished(&h.transcript)); err != nil {
		return err
	}
	h.in.tolerateCCS = false
	return h.changeIn(app.client)
}

// sendFlight sends what comes under the handshake keys.
func (s *certificateServer) sendFlight(h *handshake, keys *pair) error {
	flight := []message{&encryptedExtensions{}}
	if s.asks {
		flight = append(flight, &certificateRequest{schemes: offeredSchemes()})
	}
	flight = append(flight, &certificateMessage{chain: s.own.Certificate})
	for _, m := range flight {
		if err := s.send(h, m); err != nil {
			return err
		}
	}
	signature, err := schemes[0].sign(s.own.PrivateKey.(crypto.Signer), signedText(byServer, h.transcript.sum()))
	if err != nil {
		return err
	}
	if err := s.send(h, &certificateVerify{uint16(schemes[0].id), signature}); err != nil {
		return err
	}
	if err := s.send(h, finished{keys.serverFinished(&h.transcript)}); err != nil {
		return err
	}
	return h.flight()
}

func (s *certificateServer) send(h *handshake, m message) error {
	if s.change != nil {
		m = s.change(m)
	}
	return h.send(m)
}

// connected is a course without an imposter.
func (c course) connected(t testing.TB) (client, server *Conn) {
	t.Helper()
	if c.certified == nil {
		return connected(t, c.client, c.server)
	}
	client, server, clientErr, serverErr := c.certified.meet(t, c.client)
	if clientErr != nil || serverErr != nil {
		t.Fatalf("handshake: client %v, server %v", clientErr, serverErr)
	}
	return client, server
}

// meet is the handshake of a client with this server.
func (s *certificateServer) meet(t testing.TB, client *Config) (c, conn *Conn, clientErr, serverErr error) {
	t.Helper()
	a, b := pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	c, conn = Client(a, client), Server(b, serverConfig())
	done := make(chan error, 1)
	go func() {
		err := s.handshake(conn)
		if err != nil {
			b.out.end()
		}
		done <- err
	}()
	if clientErr = c.Handshake(); clientErr != nil {
		a.out.end()
	}
	return c, conn, clientErr, <-done
}

// rawMessage is a message with any body.
type rawMessage struct {
	kind uint8
	body []byte
}

func (r rawMessage) messageType() uint8               { return r.kind }
func (r rawMessage) appendBody(b *cryptobyte.Builder) { b.AddBytes(r.body) }

// in is a message changed, if it is of type M.
func in[M message](change func(m M) message) func(message) message {
	return func(m message) message {
		if ours, ok := m.(M); ok {
			return change(ours)
		}
		return m
	}
}

func TestWhatCertificateMessagesMustNotSay(t *testing.T) {
	a := newAuthority(t)
	other := a.issue(newP256(t), nil)
	for name, c := range map[string]struct {
		change func(message) message
		alert  Alert
	}{
		"no certificate":             {in(func(m *certificateMessage) message { m.chain = nil; return m }), AlertDecodeError},
		"an empty certificate":       {in(func(m *certificateMessage) message { m.chain = [][]byte{{}}; return m }), AlertDecodeError},
		"no DER":                     {in(func(m *certificateMessage) message { m.chain = [][]byte{{1, 2, 3}}; return m }), AlertBadCertificate},
		"seventeen certificates":     {in(func(m *certificateMessage) message { m.chain = slices.Repeat(m.chain, maxChain+1); return m }), AlertIllegalParameter},
		"sixteen certificates":       {in(func(m *certificateMessage) message { m.chain = slices.Repeat(m.chain, maxChain); return m }), 0},
		"a context":                  {in(func(m *certificateMessage) message { m.context = []byte{1}; return m }), AlertIllegalParameter},
		"an extension not asked for": {in(func(m *certificateMessage) message { return withExtension(m.chain[0], extEarlyData) }), AlertUnsupportedExtension},
		"an extension out of place":  {in(func(m *certificateMessage) message { return withExtension(m.chain[0], extSignatureAlgorithms) }), AlertIllegalParameter},
		"an extension twice":         {in(func(m *certificateMessage) message { return withExtension(m.chain[0], 99, 99) }), AlertIllegalParameter},
		"another's certificate":      {in(func(m *certificateMessage) message { m.chain = other.Certificate; return m }), AlertDecryptError},
		"another scheme":             {in(func(m *certificateVerify) message { m.scheme = uint16(tls.PSSWithSHA256); return m }), AlertIllegalParameter},
		"a scheme for CAs":           {in(func(m *certificateVerify) message { m.scheme = uint16(tls.PKCS1WithSHA256); return m }), AlertIllegalParameter},
		"an unknown scheme":          {in(func(m *certificateVerify) message { m.scheme = 0xFFFF; return m }), AlertIllegalParameter},
		"no signature":               {in(func(m *certificateVerify) message { m.signature = nil; return m }), AlertDecodeError},
		"a client's signature": {in(func(m *certificateVerify) message {
			m.signature, _ = schemes[0].sign(other.PrivateKey.(crypto.Signer), signedText(byClient, make([]byte, 32)))
			return m
		}), AlertDecryptError},
		"a request with a context":       {in(func(m *certificateRequest) message { m.context = []byte{1}; return m }), AlertIllegalParameter},
		"a request without algorithms":   {in(func(m *certificateRequest) message { m.schemes = nil; return m }), AlertMissingExtension},
		"a request of nothing we do":     {in(func(m *certificateRequest) message { m.schemes = []uint16{0x0804}; return m }), AlertHandshakeFailure},
		"a request with more extensions": {in(func(*certificateRequest) message { return rawMessage{typeCertificateRequest, requestWithCAs} }), 0},
		"a PSK that was not offered":     {in(func(m *serverHello) message { m.psk = new(uint16); return m }), AlertUnsupportedExtension},
		"no key share":                   {in(func(m *serverHello) message { m.share = nil; return m }), AlertMissingExtension},
		"another group":                  {in(func(m *serverHello) message { m.share.group = CurveP256; return m }), AlertIllegalParameter},
		"no point":                       {in(func(m *serverHello) message { m.share.data = make([]byte, 32); return m }), AlertIllegalParameter},
		"signature_algorithms in reply": {in(func(*encryptedExtensions) message {
			return rawMessage{typeEncryptedExtensions, []byte{0, 4, 0, 13, 0, 0}}
		}), AlertIllegalParameter},
	} {
		client, server := a.certified()
		s := &certificateServer{own: server.Certificates[0], asks: true, change: c.change}
		_, _, err, _ := s.meet(t, client)
		if c.alert == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var local *AlertError
		if !errors.As(err, &local) || local.Remote || local.Alert != c.alert {
			t.Errorf("%s: %v, want %v", name, err, c.alert)
		}
	}
}

// requestWithCAs is a CertificateRequest with certificate_authorities and one that nobody knows.
var requestWithCAs = []byte{0, 0, 22, 0, 13, 0, 4, 0, 2, 4, 3, 0, 47, 0, 6, 0, 4, 0, 2, 0x30, 0, 0xFA, 0xFA, 0, 0}

// withExtension is a Certificate with empty extensions.
func withExtension(der []byte, numbers ...uint16) message {
	var b cryptobyte.Builder
	b.AddUint8(0)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, n := range numbers {
				addExtension(b, n, nothing)
			}
		})
	})
	return rawMessage{typeCertificate, b.BytesOrPanic()}
}
