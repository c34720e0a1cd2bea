package psktls

import (
	"crypto"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math"
)

// Record content types (RFC 8446, 5.1).
const (
	recordChangeCipherSpec uint8 = 20
	recordAlert            uint8 = 21
	recordHandshake        uint8 = 22
	recordApplicationData  uint8 = 23
	recordConnectionID     uint8 = 25 // tls12_cid (RFC 9146, 4)
)

const (
	recordHeaderLen = 5
	maxPlaintext    = 1 << 14            // bytes of content in a record
	maxExpansion12  = 2048               // RFC 5246, 6.2.3
	maxExpansion13  = 256                // RFC 8446, 5.2
	maxCiphertext   = maxPlaintext + 256 // of what our suites write
)

// rekeyAfter is the number of records after which TLS 1.3 changes its key by itself. RFC
// 8446, 5.5 allows AES-GCM 2^24.5 full records; the other AEADs stand more.
const rekeyAfter = 1 << 24

var errSequence = errors.New("psktls: record numbers are used up: open a new connection")

// protection is how records of one direction are protected, from one change of keys to
// the next. Without an AEAD they are not.
type protection struct {
	version uint16
	kind    *aeadKind
	aead    cipher.AEAD
	iv      [nonceLen]byte // with an explicit nonce only the first four bytes, the salt
	seq     uint64         // number of the next record

	// TLS 1.3: where the next key comes from.
	hash   crypto.Hash
	secret []byte

	// DTLS: the connection id in the records, if there is one (RFC 9146).
	id []byte

	// Here because what goes through an interface would be allocated each time.
	nonce      [nonceLen]byte
	additional [13]byte
	long       []byte // additional data with a connection id
}

// protect12 is the protection of a TLS 1.2 direction (RFC 5246, 6.3). iv is as long as
// fixedIVLen says.
func protect12(s *suite, key, iv []byte) (*protection, error) {
	aead, err := s.aead.new(key)
	if err != nil {
		return nil, err
	}
	p := &protection{version: VersionTLS12, kind: s.aead, aead: aead}
	copy(p.iv[:], iv)
	return p, nil
}

// fixedIVLen is the length of what the key block gives to the nonce.
func (k *aeadKind) fixedIVLen() int { return nonceLen - k.explicit }

// protect13 is the protection of a TLS 1.3 direction under a traffic secret (RFC 8446, 7.3).
func protect13(s *suite, secret []byte) (*protection, error) {
	aead, err := s.aead.new(expandLabel(s.hash, secret, "key", nil, s.aead.keyLen))
	if err != nil {
		return nil, err
	}
	p := &protection{version: VersionTLS13, kind: s.aead, aead: aead, hash: s.hash, secret: secret}
	copy(p.iv[:], expandLabel(s.hash, secret, "iv", nil, nonceLen))
	return p, nil
}

// next is the protection after a KeyUpdate (RFC 8446, 7.2).
func (p *protection) next(s *suite) (*protection, error) {
	return protect13(s, expandLabel(p.hash, p.secret, "traffic upd", nil, p.hash.Size()))
}

// overhead is by how much a record is longer than its content, header included.
func (p *protection) overhead() int {
	switch {
	case p.aead == nil:
		return recordHeaderLen
	case p.version == VersionTLS13:
		return recordHeaderLen + 1 + p.kind.overhead
	}
	return recordHeaderLen + p.kind.explicit + p.kind.overhead
}

// seal appends a record to dst. The content has at most maxPlaintext bytes.
func (p *protection) seal(dst []byte, kind uint8, content []byte) ([]byte, error) {
	if p.seq == math.MaxUint64 {
		return dst, errSequence
	}
	outer := kind
	if p.aead != nil && p.version == VersionTLS13 {
		outer = recordApplicationData
	}
	n := p.overhead() + len(content) - recordHeaderLen
	start := len(dst)
	dst = append(dst, outer, byte(VersionTLS12>>8), byte(VersionTLS12&0xFF), byte(n>>8), byte(n))
	switch {
	case p.aead == nil:
		return append(dst, content...), nil
	case p.version == VersionTLS13:
		header := p.additional[:copy(p.additional[:], dst[start:])]
		body := len(dst)
		dst = append(append(dst, content...), kind)
		dst = p.aead.Seal(dst[:body], p.implicitNonce(), dst[body:], header)
	case p.kind.explicit > 0:
		// The record number is the explicit nonce: it never repeats (RFC 5288, 3).
		dst = binary.BigEndian.AppendUint64(dst, p.seq)
		body := len(dst)
		dst = append(dst, content...)
		dst = p.aead.Seal(dst[:body], p.explicitNonce(dst[body-8:body]), dst[body:], p.additional12(kind, len(content)))
	default:
		body := len(dst)
		dst = append(dst, content...)
		dst = p.aead.Seal(dst[:body], p.implicitNonce(), dst[body:], p.additional12(kind, len(content)))
	}
	p.seq++
	return dst, nil
}

// open takes the protection from a record, in place. The record is as its header says.
func (p *protection) open(record []byte) (kind uint8, content []byte, err error) {
	kind, body := record[0], record[recordHeaderLen:]
	if p.aead == nil {
		if len(body) > maxPlaintext {
			return 0, nil, errOverflow
		}
		return kind, body, nil
	}
	if p.seq == math.MaxUint64 {
		return 0, nil, errSequence
	}
	if p.version == VersionTLS13 {
		header := p.additional[:copy(p.additional[:], record[:recordHeaderLen])]
		content, err = p.aead.Open(body[:0], p.implicitNonce(), body, header)
	} else {
		n := len(body) - p.kind.explicit - p.kind.overhead
		if n < 0 {
			return 0, nil, errMAC
		}
		if n > maxPlaintext {
			return 0, nil, errOverflow
		}
		explicit, sealed := body[:p.kind.explicit], body[p.kind.explicit:]
		nonce := p.implicitNonce()
		if len(explicit) > 0 {
			nonce = p.explicitNonce(explicit)
		}
		content, err = p.aead.Open(sealed[:0], nonce, sealed, p.additional12(kind, n))
	}
	if err != nil {
		return 0, nil, errMAC
	}
	p.seq++
	if p.version == VersionTLS13 {
		return inner(content)
	}
	return kind, content, nil
}

var (
	errMAC      = fail(AlertBadRecordMAC, "a record is not authentic: do both sides have the same key under this identity?")
	errOverflow = fail(AlertRecordOverflow, "a record holds more than %d bytes", maxPlaintext)
)

// inner finds type and content in a TLSInnerPlaintext (RFC 8446, 5.2).
func inner(plain []byte) (kind uint8, content []byte, err error) {
	if len(plain) > maxPlaintext+1 {
		return 0, nil, errOverflow
	}
	end := len(plain)
	for end > 0 && plain[end-1] == 0 {
		end--
	}
	if end == 0 {
		return 0, nil, fail(AlertUnexpectedMessage, "a record consists of padding only")
	}
	return plain[end-1], plain[:end-1], nil
}

// implicitNonce is the IV with the record number in it (RFC 8446, 5.3; RFC 7905, 2).
func (p *protection) implicitNonce() []byte {
	p.nonce = p.iv
	tail := p.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^p.seq)
	return p.nonce[:]
}

// explicitNonce is the salt and what the record carries (RFC 5288, 3).
func (p *protection) explicitNonce(explicit []byte) []byte {
	p.nonce = p.iv
	copy(p.nonce[nonceLen-8:], explicit)
	return p.nonce[:]
}

// additional12 is the additional data of TLS 1.2 (RFC 5246, 6.2.3.3).
func (p *protection) additional12(kind uint8, n int) []byte {
	binary.BigEndian.PutUint64(p.additional[:], p.seq)
	p.additional[8] = kind
	binary.BigEndian.PutUint16(p.additional[9:], VersionTLS12)
	binary.BigEndian.PutUint16(p.additional[11:], uint16(n))
	return p.additional[:]
}
