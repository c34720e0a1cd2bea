package psktls

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// seeds are the messages of all courses, by type.
func seeds(f *testing.F) map[uint8][][]byte {
	f.Helper()
	found := map[uint8][][]byte{}
	for _, c := range courses(f) {
		a, b := pipe()
		var last [2]bytes.Buffer
		client, server := Client(&tap{a, &last[0]}, c.client), Server(&tap{b, &last[1]}, c.server)
		go c.serve(server) //nolint:errcheck // only what is sent matters
		if err := client.Handshake(); err != nil {
			f.Fatal(err)
		}
		for i := range last {
			for b := last[i].Bytes(); len(b) > recordHeaderLen; {
				n := recordHeaderLen + int(binary.BigEndian.Uint16(b[3:]))
				if b[0] == recordHandshake && n > recordHeaderLen+handshakeHeaderLen && b[recordHeaderLen] < 20 {
					kind := b[recordHeaderLen]
					found[kind] = append(found[kind], bytes.Clone(b[recordHeaderLen+handshakeHeaderLen:n]))
				}
				b = b[n:]
			}
		}
	}
	return found
}

type tap struct {
	*end
	copy *bytes.Buffer
}

func (t *tap) Write(b []byte) (int, error) {
	t.copy.Write(b)
	return t.end.Write(b)
}

// again encodes what was parsed and parses that.
func again[M message](t *testing.T, m M, parse func([]byte) (M, error)) {
	t.Helper()
	raw, err := encode(m)
	if err != nil {
		return // one of nearly 64 KiB, to which we would add what we always say
	}
	if _, err := parse(raw[handshakeHeaderLen:]); err != nil {
		t.Fatalf("what was read and written cannot be read: %v", err)
	}
}

func FuzzClientHello(f *testing.F) {
	for _, s := range seeds(f)[typeClientHello] {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := parseClientHello(body); err == nil {
			again(t, m, parseClientHello)
		}
	})
}

func FuzzServerHello(f *testing.F) {
	for _, s := range seeds(f)[typeServerHello] {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := parseServerHello(body); err == nil {
			again(t, m, parseServerHello)
		}
	})
}

func FuzzKeyExchanges(f *testing.F) {
	all := seeds(f)
	for _, s := range append(all[typeServerKeyExchange], all[typeClientKeyExchange]...) {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, body []byte, ecdhe bool) {
		if m, err := parseServerKeyExchange(body, ecdhe); err == nil {
			again(t, m, func(b []byte) (*serverKeyExchange, error) { return parseServerKeyExchange(b, ecdhe) })
		}
		if m, err := parseClientKeyExchange(body, ecdhe); err == nil {
			again(t, m, func(b []byte) (*clientKeyExchange, error) { return parseClientKeyExchange(b, ecdhe) })
		}
	})
}

func FuzzEncryptedMessages(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 9, 0, 16, 0, 5, 0, 3, 2, 'h', '2'})
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 'x', 0, 0})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := parseEncryptedExtensions(body); err == nil {
			again(t, m, parseEncryptedExtensions)
		}
		parseNewSessionTicket(body) //nolint:errcheck // that it returns is the point
		if m, err := parseKeyUpdate(body); err == nil {
			again(t, m, parseKeyUpdate)
		}
	})
}

func FuzzCertificateMessages(f *testing.F) {
	f.Add(requestWithCAs)
	f.Add([]byte{4, 3, 0, 1, 1})
	f.Add([]byte{0, 0, 0, 0})
	certificate, err := encode(withExtension([]byte{0x30, 0}, extEarlyData))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(certificate[handshakeHeaderLen:])
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := parseCertificateRequest(body); err == nil {
			again(t, m, parseCertificateRequest)
		}
		if m, err := parseCertificate(body); err == nil {
			if len(m.chain) > maxChain {
				t.Fatal("more certificates than allowed")
			}
			again(t, m, parseCertificate)
		}
		if m, err := parseCertificateVerify(body); err == nil {
			again(t, m, parseCertificateVerify)
		}
	})
}

// FuzzServer feeds a server any bytes, and FuzzClient a client: it must come to an end,
// with an error.
func FuzzServer(f *testing.F) {
	for _, s := range seeds(f)[typeClientHello] {
		raw := append([]byte{typeClientHello, 0, byte(len(s) >> 8), byte(len(s))}, s...)
		f.Add(append([]byte{recordHandshake, 3, 1, byte(len(raw) >> 8), byte(len(raw))}, raw...))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		server := serverConfig()
		server.AllowPSKOnly = true
		starve(t, func(conn *end) *Conn { return Server(conn, server) }, stream)
	})
}

func FuzzClient(f *testing.F) {
	for _, s := range seeds(f)[typeServerHello] {
		raw := append([]byte{typeServerHello, 0, byte(len(s) >> 8), byte(len(s))}, s...)
		f.Add(append([]byte{recordHandshake, 3, 3, byte(len(raw) >> 8), byte(len(raw))}, raw...))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		client := clientConfig()
		client.AllowPSKOnly = true
		starve(t, func(conn *end) *Conn { return Client(conn, client) }, stream)
	})
}

// FuzzServersFlight changes one encrypted message of a server with certificates: the client must
// come to an end, and take nothing but what is right.
func FuzzServersFlight(f *testing.F) {
	a := newAuthority(f)
	client, server := a.certified()
	own := server.Certificates[0]
	flight := []uint8{typeEncryptedExtensions, typeCertificateRequest, typeCertificate, typeCertificateVerify, typeFinished}
	f.Add(byte(0), []byte{0, 0})
	f.Add(byte(1), requestWithCAs)
	f.Add(byte(2), append([]byte{0, 0, 0, 2, 0, 0, 0}, own.Certificate[0]...))
	f.Add(byte(3), []byte{4, 3, 0, 2, 0x30, 0})
	f.Add(byte(4), make([]byte, 32))
	f.Fuzz(func(t *testing.T, at byte, body []byte) {
		kind := flight[int(at)%len(flight)]
		s := &certificateServer{own: own, asks: true, change: func(m message) message {
			if m.messageType() == kind {
				return rawMessage{kind, body}
			}
			return m
		}}
		_, _, err, _ := s.meet(t, client)
		if err == nil && (kind == typeCertificateVerify || kind == typeFinished) {
			t.Fatalf("message %d of a stranger's making is taken: %x", kind, body)
		}
	})
}

func starve(t *testing.T, side func(*end) *Conn, stream []byte) {
	t.Helper()
	a, b := pipe()
	if _, err := b.Write(stream); err != nil {
		t.Fatal(err)
	}
	b.out.end()
	if err := side(a).Handshake(); err == nil {
		t.Fatal("a handshake with nobody succeeds")
	}
}
