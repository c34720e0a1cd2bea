package tcp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// maxFrame is the longest payload either side accepts: no short APDU and no answer to one
// is longer than 261 bytes.
const maxFrame = 1024

// readFrame reads one payload of 1 to maxFrame bytes: two bytes of length, big-endian,
// then the bytes. io.EOF says that the peer has closed between two frames.
func readFrame(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n == 0 || n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes: want 1 to %d", n, maxFrame)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return payload, nil
}

// writeFrame sends one payload in one packet.
func writeFrame(w io.Writer, payload []byte) error {
	if len(payload) == 0 || len(payload) > maxFrame {
		return fmt.Errorf("a frame of %d bytes: want 1 to %d", len(payload), maxFrame)
	}
	b := make([]byte, 2, 2+len(payload))
	binary.BigEndian.PutUint16(b, uint16(len(payload)))
	_, err := w.Write(append(b, payload...))
	return err
}
