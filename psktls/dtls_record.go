package psktls

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// VersionDTLS12 is DTLS 1.2 on the wire (RFC 6347, 4.1).
const VersionDTLS12 uint16 = 0xFEFD

const (
	dtlsHeaderLen = 13
	dtlsNumberEnd = 11 // where a connection id stands
	maxDTLSSeq    = 1<<48 - 1
)

// dtlsRecord is a record as it lies in a datagram. It shares the datagram's memory.
type dtlsRecord struct {
	kind  uint8
	epoch uint16
	seq   uint64 // 48 bits
	id    []byte // nil except in records of type tls12_cid
	body  []byte
	raw   []byte // all of it
}

// number is epoch and sequence number in one, as nonces and additional data have it.
func (r dtlsRecord) number() uint64 { return uint64(r.epoch)<<48 | r.seq }

// cutRecord takes the first record from a datagram. A datagram that is none of ours, or that is torn, has
// none: it is thrown away without a word (RFC 6347, 4.1.2.7). idLen is the length of our
// connection ids, which a record does not tell; without any, a record that has one ends the datagram.
func cutRecord(datagram []byte, idLen int) (r dtlsRecord, rest []byte, ok bool) {
	header := dtlsHeaderLen
	if len(datagram) > 0 && datagram[0] == recordConnectionID {
		header += idLen
	}
	if len(datagram) < header || datagram[0] == recordConnectionID && idLen == 0 {
		return r, nil, false
	}
	n := int(binary.BigEndian.Uint16(datagram[header-2:]))
	if datagram[1] != 0xFE || n > maxPlaintext+maxExpansion12 || len(datagram)-header < n {
		return r, nil, false
	}
	number := binary.BigEndian.Uint64(datagram[3:])
	end := header + n
	r = dtlsRecord{
		kind: datagram[0], epoch: uint16(number >> 48), seq: number & maxDTLSSeq,
		body: datagram[header:end], raw: datagram[:end],
	}
	if header > dtlsHeaderLen {
		r.id = datagram[dtlsNumberEnd : header-2]
	}
	return r, datagram[end:], true
}

// sealDTLS appends a record; p is nil in epoch 0.
func (p *protection) sealDTLS(dst []byte, r dtlsRecord) ([]byte, error) {
	if r.seq > maxDTLSSeq {
		return dst, errSequence
	}
	kind, content, id := r.kind, len(r.body), p.connectionID()
	if len(id) > 0 {
		kind, content = recordConnectionID, content+1
	}
	dst = append(dst, kind, byte(VersionDTLS12>>8), byte(VersionDTLS12&0xFF))
	dst = binary.BigEndian.AppendUint64(dst, r.number())
	dst = append(dst, id...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.body)+p.overheadDTLS()-dtlsHeaderLen-len(id)))
	if p == nil {
		return append(dst, r.body...), nil
	}
	p.seq = r.number()
	nonce := p.implicitNonce()
	if p.kind.explicit > 0 {
		dst = binary.BigEndian.AppendUint64(dst, p.seq)
		nonce = p.explicitNonce(dst[len(dst)-8:])
	}
	at := len(dst)
	dst = append(dst, r.body...)
	if len(id) > 0 {
		dst = append(dst, r.kind)
	}
	return p.aead.Seal(dst[:at], nonce, dst[at:], p.additionalDTLS(kind, content)), nil
}

// openDTLS takes the protection from a record, in place. With a connection id the type comes from
// the inside.
func (p *protection) openDTLS(r dtlsRecord) (kind uint8, content []byte, err error) {
	n, hidden := len(r.body)-p.kind.explicit-p.kind.overhead, 0
	if len(p.id) > 0 {
		hidden = 1
	}
	if n < hidden || n > maxPlaintext+hidden || !bytes.Equal(r.id, p.id) {
		return 0, nil, errMAC
	}
	p.seq = r.number()
	explicit, sealed := r.body[:p.kind.explicit], r.body[p.kind.explicit:]
	nonce := p.implicitNonce()
	if len(explicit) > 0 {
		nonce = p.explicitNonce(explicit)
	}
	content, err = p.aead.Open(sealed[:0], nonce, sealed, p.additionalDTLS(r.kind, n))
	if err != nil || hidden == 0 {
		return r.kind, content, err
	}
	return inner(content) // laid out like that of TLS 1.3 (RFC 9146, 4)
}

// connectionID is the id in the records of this direction; p is nil in epoch 0.
func (p *protection) connectionID() []byte {
	if p == nil {
		return nil
	}
	return p.id
}

// additionalDTLS is that of TLS 1.2 with DTLS's number and version (RFC 6347, 4.1.2.1). Records
// with a connection id have more (RFC 9146, 5.3).
func (p *protection) additionalDTLS(kind uint8, n int) []byte {
	if len(p.id) > 0 {
		a := append(p.long[:0], 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, recordConnectionID, byte(len(p.id)),
			recordConnectionID, byte(VersionDTLS12>>8), byte(VersionDTLS12&0xFF))
		a = append(binary.BigEndian.AppendUint64(a, p.seq), p.id...)
		p.long = binary.BigEndian.AppendUint16(a, uint16(n))
		return p.long
	}
	a := p.additional12(kind, n)
	binary.BigEndian.PutUint16(a[9:], VersionDTLS12)
	return a
}

// overheadDTLS is by how much a record is longer than its content; p is nil in epoch 0.
func (p *protection) overheadDTLS() int {
	if p == nil {
		return dtlsHeaderLen
	}
	n := dtlsHeaderLen + p.kind.explicit + p.kind.overhead
	if len(p.id) > 0 {
		n += len(p.id) + 1
	}
	return n
}

// replayWindow remembers which of the latest 64 records have come (RFC 6347, 4.1.2.6).
type replayWindow struct {
	next uint64 // one more than the highest that came
	seen uint64 // bit i: record next-1-i
}

// fresh says whether the record has not come yet and is not too old to tell.
func (w *replayWindow) fresh(seq uint64) bool {
	if seq >= w.next {
		return true
	}
	age := w.next - 1 - seq
	return age < 64 && w.seen>>age&1 == 0
}

// mark notes a record that is authentic, and says whether it is newer than all before.
func (w *replayWindow) mark(seq uint64) (newest bool) {
	if seq >= w.next {
		w.seen = w.seen<<(seq+1-w.next) | 1 // a shift by 64 or more leaves nothing
		w.next = seq + 1
		return true
	}
	w.seen |= 1 << (w.next - 1 - seq)
	return false
}

// errFragment is for handshake fragments that contradict themselves or others.
var errFragment = errors.New("a handshake fragment that does not fit")
