package psktls

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// DTLSCookies lets a server spend nothing on a client before it knows that the client
// receives what is sent to its address (RFC 6347, 4.2.1). It keeps no state per client, and
// is safe for concurrent use.
type DTLSCookies struct{ key [32]byte }

// NewDTLSCookies has a key of its own, from crypto/rand.
func NewDTLSCookies() *DTLSCookies {
	c := &DTLSCookies{}
	rand.Read(c.key[:]) //nolint:errcheck // never fails
	return c
}

// cookieAge is for how long a cookie is good; and at most twice that.
const cookieAge = time.Minute

// Check looks at a datagram from a stranger at an address. If it begins with a ClientHello that has the cookie
// of that address, ok is true, and the datagram may go to a new [DTLS]. If the ClientHello has
// no good cookie, answer is the HelloVerifyRequest to be sent. Everything else
// deserves no answer, nor does a ClientHello in fragments.
// The hello is the client's random value, which tells a repetition from a new beginning.
func (c *DTLSCookies) Check(now time.Time, address string, datagram []byte) (hello [32]byte, ok bool, answer []byte) {
	r, _, isRecord := cutRecord(datagram, 0)
	if !isRecord || r.kind != recordHandshake || r.epoch != 0 {
		return hello, false, nil
	}
	f, _, err := cutFragment(r.body)
	if err != nil || f.kind != typeClientHello || len(f.data) != f.length {
		return hello, false, nil
	}
	m, cookie, err := parseDTLSHello(f.data)
	if err != nil {
		return hello, false, nil
	}
	period := now.Unix() / int64(cookieAge/time.Second)
	want := c.cookie(period, address, m)
	if hmac.Equal(cookie, want) || hmac.Equal(cookie, c.cookie(period-1, address, m)) {
		return m.random, true, nil
	}
	// The numbers are the client's: so no state is needed, and what follows can count on.
	body := append([]byte{0xFE, 0xFF, byte(len(want))}, want...) // DTLS 1.0 here, as the RFC advises
	answer, err = (*protection)(nil).sealDTLS(nil, dtlsRecord{kind: recordHandshake, seq: r.seq, body: encodeDTLS(typeHelloVerifyRequest, f.seq, body)})
	if err != nil {
		return hello, false, nil
	}
	return hello, false, answer
}

// cookie is over the address and what the client must not change between its two hellos.
func (c *DTLSCookies) cookie(period int64, address string, m *clientHello) []byte {
	mac := hmac.New(sha256.New, c.key[:])
	var b []byte
	b = binary.BigEndian.AppendUint64(b, uint64(period))
	b = binary.BigEndian.AppendUint16(b, uint16(len(address)))
	b = append(append(b, address...), m.random[:]...)
	b = append(append(b, byte(len(m.sessionID))), m.sessionID...)
	for _, s := range m.suites {
		b = binary.BigEndian.AppendUint16(b, s)
	}
	mac.Write(append(b, m.compression...))
	return mac.Sum(nil)
}
