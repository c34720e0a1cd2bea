package psktls

import (
	"bytes"
	"testing"
	"time"
)

// FuzzDTLSMessages has the parsers of what only DTLS has read any bytes.
func FuzzDTLSMessages(f *testing.F) {
	hello := &clientHello{version: VersionDTLS12, suites: []uint16{TLS_PSK_WITH_AES_128_CCM_8}, compression: []byte{0}, connectionID: []byte{1, 2}}
	body, err := helloBody(hello, []byte("a cookie"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(encodeDTLS(typeClientHello, 0, body))
	f.Add([]byte{0xFE, 0xFF, 2, 1, 2})
	f.Add(append(appendFragmentHeader(nil, typeClientHello, 5, 1, 2, 3), 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		if cookie, err := parseHelloVerify(b); err == nil && len(cookie) != len(b)-3 {
			t.Errorf("a cookie of %d bytes in %d", len(cookie), len(b))
		}
		if m, cookie, err := parseDTLSHello(b); err == nil {
			if body, err := helloBody(m, cookie); err == nil { // what is read is written alike
				if _, again, err := parseDTLSHello(body); err == nil && !bytes.Equal(again, cookie) {
					t.Errorf("cookie %x became %x", cookie, again)
				}
			}
		}
		var whole assembly
		for rest := b; len(rest) > 0; {
			part, after, err := cutFragment(rest)
			if err != nil {
				break
			}
			if len(after) >= len(rest) {
				t.Fatal("a fragment of nothing")
			}
			rest = after
			had := whole.missing
			if err := whole.add(part); err == nil && had > 0 && whole.missing > had {
				t.Errorf("%d bytes missing after %d", whole.missing, had)
			}
			if whole.missing < 0 || whole.missing > maxDTLSMessage {
				t.Errorf("%d bytes missing", whole.missing)
			}
		}
	})
}

// FuzzDTLSRecords cuts any datagram into records, with connection ids of any length.
func FuzzDTLSRecords(f *testing.F) {
	n := withIDs(f, 0, 0, 4, 8, 1, 0)
	n.completes()
	if err := n.client.Send([]byte("x")); err != nil {
		f.Fatal(err)
	}
	f.Add(n.client.Outgoing()[0], uint8(8))
	f.Add(handshakeRecord(f, 0, 0, serverHelloDone{}), uint8(0))
	f.Fuzz(func(t *testing.T, datagram []byte, length uint8) {
		idLen := int(length) % (MaxConnectionID + 1)
		total, first := 0, []byte(nil)
		for rest := datagram; ; {
			r, after, ok := cutRecord(rest, idLen)
			if !ok {
				break
			}
			if r.id != nil && len(r.id) != idLen {
				t.Errorf("an id of %d bytes instead of %d", len(r.id), idLen)
			}
			if first == nil {
				first = r.id
			}
			total += len(r.raw)
			rest = after
		}
		if total > len(datagram) {
			t.Errorf("records of %d bytes in %d", total, len(datagram))
		}
		if got := DTLSConnectionID(datagram, idLen); !bytes.Equal(got, first) {
			t.Errorf("id %x, then %x", first, got)
		}
	})
}

// FuzzDTLSPeer is a peer that has the key and says anything under it, once the handshake is complete and before, to client
// and server.
func FuzzDTLSPeer(f *testing.F) {
	f.Add(recordHandshake, []byte{typeFinished, 0, 0, 12, 0, 9, 0, 0, 0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, true, true)
	f.Add(recordAlert, []byte{alertLevelFatal, byte(AlertInternalError)}, false, true)
	f.Add(recordApplicationData, []byte("data"), true, false)
	f.Add(recordHandshake, encodeDTLS(typeServerHelloDone, 2, nil), true, false)
	f.Fuzz(func(t *testing.T, kind uint8, content []byte, toClient, complete bool) {
		if len(content) > maxPlaintext {
			return
		}
		n := withIDs(t, TLS_PSK_WITH_AES_128_CCM_8, 0, 4, 8, 1, 0)
		var datagram []byte
		victim := n.client
		if complete {
			n.completes()
			peer := n.server
			if !toClient {
				victim, peer = n.server, n.client
			}
			datagram = rawRecord(t, peer.write, kind, peer.seq[1], content)
		} else {
			if err := n.client.Start(t.Context(), n.now); err != nil {
				t.Fatal(err)
			}
			if !toClient {
				var err error
				if victim, err = NewDTLS(n.config, false, DTLSOptions{}); err != nil {
					t.Fatal(err)
				}
				if err := victim.Start(t.Context(), n.now); err != nil {
					t.Fatal(err)
				}
			}
			datagram = rawRecord(t, nil, kind, 0, content)
		}
		err := victim.Receive(t.Context(), n.now, datagram)
		victim.Incoming()
		victim.Outgoing()
		if err != nil && victim.Send([]byte("x")) == nil {
			t.Error("it goes on after an error")
		}
		victim.Expire(n.now.Add(time.Hour)) //nolint:errcheck // must not panic
	})
}
