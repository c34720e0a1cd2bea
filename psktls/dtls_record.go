package psktls

import (
	"encoding/binary"
	"errors"
)

// VersionDTLS12 is DTLS 1.2 on the wire (RFC 6347, 4.1).
const VersionDTLS12 uint16 = 0xFEFD

const (
	dtlsHeaderLen = 13
	maxDTLSSeq    = 1<<48 - 1
)

// dtlsRecord is a record as it lies in a datagram. It shares the datagram's memory.
type dtlsRecord struct {
	kind  uint8
	epoch uint16
	seq   uint64 // 48 bits
	body  []byte
}

// number is epoch and sequence number in one, as nonces and additional data have it.
func (r dtlsRecord) number() uint64 { return uint64(r.epoch)<<48 | r.seq }

// cutRecord takes the first record from a datagram. A datagram that is none of ours, or that is torn, has
// none: it is thrown away without a word (RFC 6347, 4.1.2.7).
func cutRecord(datagram []byte) (r dtlsRecord, rest []byte, ok bool) {
	if len(datagram) < dtlsHeaderLen {
		return r, nil, false
	}
	n := int(binary.BigEndian.Uint16(datagram[11:]))
	if datagram[1] != 0xFE || n > maxPlaintext+maxExpansion12 || len(datagram)-dtlsHeaderLen < n {
		return r, nil, false
	}
	number := binary.BigEndian.Uint64(datagram[3:])
	end := dtlsHeaderLen + n
	r = dtlsRecord{datagram[0], uint16(number >> 48), number & maxDTLSSeq, datagram[dtlsHeaderLen:end]}
	return r, datagram[end:], true
}

// sealDTLS appends a record; p is nil in epoch 0.
func (p *protection) sealDTLS(dst []byte, r dtlsRecord) ([]byte, error) {
	if r.seq > maxDTLSSeq {
		return dst, errSequence
	}
	dst = append(dst, r.kind, byte(VersionDTLS12>>8), byte(VersionDTLS12&0xFF))
	dst = binary.BigEndian.AppendUint64(dst, r.number())
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.body)+p.overheadDTLS()-dtlsHeaderLen))
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
	return p.aead.Seal(dst[:at], nonce, dst[at:], p.additionalDTLS(r.kind, len(r.body))), nil
}

// openDTLS takes the protection from a record, in place.
func (p *protection) openDTLS(r dtlsRecord) ([]byte, error) {
	n := len(r.body) - p.kind.explicit - p.kind.overhead
	if n < 0 || n > maxPlaintext {
		return nil, errMAC
	}
	p.seq = r.number()
	explicit, sealed := r.body[:p.kind.explicit], r.body[p.kind.explicit:]
	nonce := p.implicitNonce()
	if len(explicit) > 0 {
		nonce = p.explicitNonce(explicit)
	}
	return p.aead.Open(sealed[:0], nonce, sealed, p.additionalDTLS(r.kind, n))
}

// additionalDTLS is that of TLS 1.2 with DTLS's number and version (RFC 6347, 4.1.2.1).
func (p *protection) additionalDTLS(kind uint8, n int) []byte {
	a := p.additional12(kind, n)
	binary.BigEndian.PutUint16(a[9:], VersionDTLS12)
	return a
}

// overheadDTLS is by how much a record is longer than its content; p is nil in epoch 0.
func (p *protection) overheadDTLS() int {
	if p == nil {
		return dtlsHeaderLen
	}
	return dtlsHeaderLen + p.kind.explicit + p.kind.overhead
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

// mark notes a record that is authentic.
func (w *replayWindow) mark(seq uint64) {
	if seq >= w.next {
		w.seen = w.seen<<(seq+1-w.next) | 1 // a shift by 64 or more leaves nothing
		w.next = seq + 1
		return
	}
	w.seen |= 1 << (w.next - 1 - seq)
}

// errFragment is for handshake fragments that contradict themselves or others.
var errFragment = errors.New("a handshake fragment that does not fit")
