package psktls

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// recordReader cuts the byte stream into records and opens them. A read that times out may
// be repeated: what had come is kept.
type recordReader struct {
	conn net.Conn
	*protection

	buf        []byte // buf[start:end] is read and not yet consumed
	start, end int

	// skip is how many more bytes of early data, which we refused, may be thrown away
	// (RFC 8446, 4.2.10).
	skip int
}

// firstBuffer is enough for the handshakes of this package.
const firstBuffer = 1024

// next reads a record. The content is valid until the next call.
func (r *recordReader) next() (kind uint8, content []byte, err error) {
	for {
		record, err := r.record()
		if err != nil {
			return 0, nil, err
		}
		if r.aead != nil && r.version == VersionTLS13 && record[0] != recordApplicationData {
			return r.bare(record)
		}
		if r.aead == nil && r.skip > 0 && record[0] == recordApplicationData {
			r.skip = max(0, r.skip-len(record))
			continue
		}
		kind, content, err = r.open(record)
		if errors.Is(err, errMAC) && r.skip > 0 {
			// An AEAD leaves nothing of what it did not authenticate, and counts no record.
			r.skip = max(0, r.skip-len(record))
			continue
		}
		if err == nil && r.aead != nil {
			r.skip = 0
			if r.version == VersionTLS13 && kind == recordChangeCipherSpec {
				return 0, nil, fail(AlertUnexpectedMessage, "a protected change_cipher_spec")
			}
		}
		return kind, content, err
	}
}

// bare lets pass what may come unprotected although TLS 1.3 has keys: change_cipher_spec
// for the sake of middleboxes, and the alert of a peer that has no keys yet.
func (r *recordReader) bare(record []byte) (kind uint8, content []byte, err error) {
	kind, content = record[0], record[recordHeaderLen:]
	if kind == recordChangeCipherSpec || kind == recordAlert && r.seq == 0 {
		return kind, content, nil
	}
	return 0, nil, fail(AlertUnexpectedMessage, "an unprotected record of type %d", kind)
}

// record reads a record with its header.
func (r *recordReader) record() ([]byte, error) {
	if err := r.fill(recordHeaderLen); err != nil {
		return nil, err
	}
	header := r.buf[r.start:]
	kind, version, n := header[0], binary.BigEndian.Uint16(header[1:]), int(binary.BigEndian.Uint16(header[3:]))
	switch {
	case kind < recordChangeCipherSpec || kind > recordApplicationData:
		return nil, fail(AlertUnexpectedMessage, "a record of unknown type %d: does the peer speak TLS?", kind)
	case version>>8 != 3 || r.version == VersionTLS12 && version != VersionTLS12:
		return nil, fail(AlertProtocolVersion, "a record of version %#04x: does the peer speak TLS 1.2?", version)
	case n > r.longest():
		return nil, errOverflow
	}
	if err := r.fill(recordHeaderLen + n); err != nil {
		return nil, err
	}
	record := r.buf[r.start : r.start+recordHeaderLen+n]
	r.start += len(record)
	return record, nil
}

// longest is how long the body of a record may be.
func (r *recordReader) longest() int {
	switch {
	case r.aead == nil && r.skip == 0:
		return maxPlaintext
	case r.version == VersionTLS12:
		return maxPlaintext + maxExpansion12
	}
	return maxPlaintext + maxExpansion13
}

// fill reads until n bytes are there.
func (r *recordReader) fill(n int) error {
	for r.end-r.start < n {
		if r.start == r.end {
			r.start, r.end = 0, 0
		}
		if r.start+n > len(r.buf) {
			r.makeRoom(n)
		}
		m, err := r.conn.Read(r.buf[r.end:])
		r.end += m
		if err != nil && r.end-r.start < n {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF // only close_notify is an end
			}
			return err
		}
	}
	return nil
}

// makeRoom moves what is there to the front, of a larger buffer if n bytes need one.
func (r *recordReader) makeRoom(n int) {
	to := r.buf
	if n > len(to) {
		size := firstBuffer
		if n > size {
			size = recordHeaderLen + maxCiphertext
		}
		to = make([]byte, max(size, n))
	}
	r.end = copy(to, r.buf[r.start:r.end])
	r.start, r.buf = 0, to
}
