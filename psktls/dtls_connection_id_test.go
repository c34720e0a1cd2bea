package psktls

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"
)

// withIDs is a line between two machines that have ids of these lengths; -1 is a side that does
// not speak of ids.
func withIDs(t testing.TB, suite uint16, mtu, clientLen, serverLen int, seed uint64, loss float64) *dtlsNet {
	client, server := dtlsConfigs(suite)
	n := newDTLSNet(t, client, server, mtu, seed, loss)
	id := func(length int, fill byte) []byte {
		if length < 0 {
			return nil
		}
		return bytes.Repeat([]byte{fill}, length)
	}
	var err error
	if n.client, err = NewDTLS(client, true, DTLSOptions{MTU: mtu, ConnectionID: id(clientLen, 0xC1)}); err != nil {
		t.Fatal(err)
	}
	n.serverID = id(serverLen, 0x5E)
	return n
}

// sentAs sends a record of data and says which id it has and which type it shows.
func sentAs(t *testing.T, from *DTLS, idLen int) (kind uint8, id []byte) {
	t.Helper()
	if err := from.Send([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r, _, ok := cutRecord(from.Outgoing()[0], idLen)
	if !ok {
		t.Fatal("no record")
	}
	return r.kind, r.id
}

func TestConnectionIDsGoTheWaysThatWereAgreedOn(t *testing.T) {
	for _, x := range []struct {
		client, server           int // lengths
		clientSends, serverSends int // lengths of what they put into their records
	}{
		{-1, -1, 0, 0}, {-1, 8, 0, 0}, {8, -1, 0, 0},
		{0, 8, 8, 0}, {8, 0, 0, 8}, {0, 0, 0, 0}, {4, 8, 8, 4}, {MaxConnectionID, MaxConnectionID, MaxConnectionID, MaxConnectionID},
	} {
		for _, s := range suites {
			if s.version != VersionTLS12 {
				continue
			}
			t.Run(fmt.Sprintf("%d and %d, %s", x.client, x.server, s.name), func(t *testing.T) {
				n := withIDs(t, s.id, 0, x.client, x.server, 1, 0)
				n.completes()
				for _, side := range []struct {
					from   *DTLS
					length int
					fill   byte
				}{{n.client, x.clientSends, 0x5E}, {n.server, x.serverSends, 0xC1}} {
					kind, id := sentAs(t, side.from, side.length)
					if want := bytes.Repeat([]byte{side.fill}, side.length); !bytes.Equal(id, want) {
						t.Errorf("the id is %x, want %x", id, want)
					}
					if (kind == recordConnectionID) != (side.length > 0) {
						t.Errorf("the type of the record is %d", kind)
					}
					if got := side.from.ConnectionState().ConnectionIDs; got != (x.clientSends+x.serverSends > 0) {
						t.Errorf("the state says %v", got)
					}
				}
			})
		}
	}
}

func TestConnectionIDsOverLossyLinesOfSmallDatagrams(t *testing.T) {
	for _, mtu := range []int{MinMTU, DefaultMTU} {
		for seed := range uint64(60) {
			withIDs(t, 0, mtu, MaxConnectionID, MaxConnectionID, seed, 0.1).completes()
			if t.Failed() {
				t.Fatalf("seed %d, MTU %d", seed, mtu)
			}
		}
	}
}

func TestWithAnIDAgreedOnNoOtherRecordIsTaken(t *testing.T) {
	n := withIDs(t, 0, 0, 4, 8, 1, 0)
	n.completes()
	p := *n.client.write
	seal := func(change func(p *protection, r *dtlsRecord)) []byte {
		q, r := p, dtlsRecord{kind: recordApplicationData, epoch: 1, seq: n.client.seq[1], body: []byte("x")}
		change(&q, &r)
		b, err := q.sealDTLS(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, datagram := range map[string][]byte{
		"none":              seal(func(p *protection, _ *dtlsRecord) { p.id = nil }),
		"another":           seal(func(p *protection, _ *dtlsRecord) { p.id = bytes.Repeat([]byte{1}, 8) }),
		"a longer one":      seal(func(p *protection, _ *dtlsRecord) { p.id = bytes.Repeat([]byte{0x5E}, 9) }),
		"nothing but zeros": seal(func(_ *protection, r *dtlsRecord) { r.kind, r.body = 0, []byte{0, 0} }),
	} {
		if err := n.server.Receive(t.Context(), n.now, datagram); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := n.server.Incoming(); len(got) != 0 {
			t.Errorf("%s: %q is taken", name, got)
		}
	}
	if err := n.server.Receive(t.Context(), n.now, seal(func(*protection, *dtlsRecord) {})); err != nil || len(n.server.Incoming()) != 1 {
		t.Errorf("the right one is not taken: %v", err)
	}
}

func TestPaddingBehindTheContentIsTakenOff(t *testing.T) {
	n := withIDs(t, 0, 0, 4, 8, 1, 0)
	n.completes()
	d := n.client
	r := dtlsRecord{kind: 0, epoch: 1, seq: d.seq[1], body: []byte("padded\x17\x00\x00\x00")} // the last zero is the type's place
	b, err := d.write.sealDTLS(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.server.Receive(t.Context(), n.now, b); err != nil {
		t.Fatal(err)
	}
	if got := n.server.Incoming(); len(got) != 1 || string(got[0]) != "padded" {
		t.Errorf("%q", got)
	}
}

func TestOnlyTheNewestAuthenticRecordSpeaksForANewAddress(t *testing.T) {
	n := withIDs(t, 0, 0, 0, 8, 1, 0)
	n.completes()
	var sent [][]byte
	for range 2 {
		if err := n.client.Send([]byte("x")); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, n.client.Outgoing()...)
	}
	forged := bytes.Clone(sent[1])
	forged[len(forged)-1] ^= 1
	for i, x := range []struct {
		datagram []byte
		newest   bool
	}{{forged, false}, {bytes.Clone(sent[1]), true}, {bytes.Clone(sent[1]), false}, {bytes.Clone(sent[0]), false}, {nil, false}} {
		if err := n.server.Receive(t.Context(), n.now, x.datagram); err != nil {
			t.Fatal(err)
		}
		if n.server.Newest() != x.newest {
			t.Errorf("%d: newest is %v", i, !x.newest)
		}
	}
}

// The additional data of RFC 9146, 5.3, field by field.
func TestAdditionalDataWithAConnectionID(t *testing.T) {
	p := &protection{id: []byte{0xAA, 0xBB, 0xCC}, seq: 1<<48 | 5}
	got := hex.EncodeToString(p.additionalDTLS(recordConnectionID, 0x0102))
	want := "ffffffffffffffff" + "19" + "03" + "19" + "fefd" + "0001" + "000000000005" + "aabbcc" + "0102"
	if got != want {
		t.Errorf("%s instead of %s", got, want)
	}
}

func TestAnIDThatNobodyOfferedOrThatIsTooLongIsRefused(t *testing.T) {
	client, _ := dtlsConfigs(0)
	if _, err := NewDTLS(client, true, DTLSOptions{ConnectionID: make([]byte, MaxConnectionID+1)}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	for name, x := range map[string]struct {
		ours  []byte
		its   int
		alert Alert
	}{
		"not offered": {nil, 8, AlertUnsupportedExtension},
		"too long":    {[]byte{}, 255, AlertIllegalParameter},
	} {
		t.Log(name)
		d, err := NewDTLS(client, true, DTLSOptions{MTU: MinMTU, ConnectionID: x.ours})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(0, 0)
		if err := d.Start(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		m := &serverHello{
			version: VersionDTLS12, suite: TLS_PSK_WITH_AES_128_GCM_SHA256, extendedMaster: true, renegotiation: true,
			connectionID: make([]byte, x.its),
		}
		wantAlert(t, d.Receive(t.Context(), now, handshakeRecord(t, 0, 0, m)), x.alert, false)
	}
}

func TestAServerDoesNotTakeUpAnIDThatItCannotCarry(t *testing.T) {
	client, server := dtlsConfigs(0)
	n := newDTLSNet(t, client, server, MinMTU, 1, 0)
	n.serverID = []byte{1, 2}
	n.client.id = make([]byte, 100)
	n.completes()
	if n.server.ConnectionState().ConnectionIDs {
		t.Error("the id was taken up")
	}
}

func TestAnIDIsFoundInADatagram(t *testing.T) {
	n := withIDs(t, 0, 0, 0, 8, 1, 0)
	n.completes()
	if err := n.client.Send([]byte("x")); err != nil {
		t.Fatal(err)
	}
	with := n.client.Outgoing()[0]
	plain := handshakeRecord(t, 0, 0, serverHelloDone{})
	for _, datagram := range [][]byte{with, append(bytes.Clone(plain), with...)} {
		if got := DTLSConnectionID(datagram, 8); !bytes.Equal(got, n.serverID) {
			t.Errorf("%x", got)
		}
	}
	for _, datagram := range [][]byte{nil, plain, with[:20], plain[:5]} {
		if got := DTLSConnectionID(datagram, 8); got != nil {
			t.Errorf("%x", got)
		}
	}
	if got := DTLSConnectionID(with, 0); got != nil {
		t.Errorf("%x although ids are not spoken", got)
	}
}

// handshakeRecord is a record of epoch 0 with a whole message.
func handshakeRecord(t testing.TB, recordSeq uint64, seq uint16, m message) []byte {
	t.Helper()
	raw, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return rawRecord(t, nil, recordHandshake, recordSeq, encodeDTLS(m.messageType(), seq, raw[handshakeHeaderLen:]))
}

// rawRecord is any record, of epoch 1 if there is a protection.
func rawRecord(t testing.TB, p *protection, kind uint8, seq uint64, content []byte) []byte {
	t.Helper()
	r := dtlsRecord{kind: kind, seq: seq, body: content}
	if p != nil {
		r.epoch = 1
		q := *p
		p = &q
	}
	b, err := p.sealDTLS(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.BigEndian.Uint16(b[3:]); got != r.epoch {
		t.Fatalf("epoch %d", got)
	}
	return b
}
