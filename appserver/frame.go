package appserver

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/simroot/simroot/api"
)

// entry is an event as far as the replica needs it: of a SIM, or with an ID of a credential.
type entry struct {
	Seq          int64  // 0 in a state
	Mark         string // see [api.Event]
	ICCID        string
	Fleet        string
	State        string
	Attributes   Attributes // of a SIM
	ID           string
	Type         api.CredentialType
	Fingerprint  []byte
	Serial       []byte // the key of a certificate's serial number; see [serialOf]
	Identity     string
	Confirmation *api.Confirmation
	NotAfter     time.Time
}

func newEntry(e *api.Event) *entry {
	if s := e.SIM; s != nil {
		return &entry{Seq: e.Seq, Mark: e.Mark, ICCID: s.ICCID, Fleet: s.Fleet, State: string(s.State), Attributes: packAttributes(s.Attributes)}
	}
	c := e.Credential
	return &entry{
		Seq: e.Seq, Mark: e.Mark, ICCID: c.ICCID, Fleet: c.Fleet, State: string(c.State), ID: c.ID, Type: c.Type,
		Fingerprint: c.Fingerprint, Serial: serialOf(c.Serial), Identity: c.Identity, Confirmation: c.Confirmation, NotAfter: c.NotAfter,
	}
}

// The journal's files are frames: the length of the content and its CRC-32C in four bytes
// each, least significant first, and the content. In it numbers are varints, and texts have
// their length before them (encoding/binary).
const (
	frameHead = 8
	maxFrame  = 2 * api.MaxFeedLine
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginFrame leaves room for the head; endFrame fills it in.
func beginFrame(to []byte) []byte { return append(to, make([]byte, frameHead)...) }

func endFrame(frame []byte) {
	content := frame[frameHead:]
	binary.LittleEndian.PutUint32(frame, uint32(len(content)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(content, castagnoli))
}

// readFrame returns the content of the next frame, which is good until the next call, and
// io.EOF only at the end of a sound file.
func readFrame(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(frameHead)
	switch {
	case err == io.EOF && len(head) == 0:
		return nil, io.EOF
	case err == io.EOF:
		return nil, errors.New("cut off")
	case err != nil:
		return nil, err
	}
	n, sum := int(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint32(head[4:])
	if n > maxFrame {
		return nil, fmt.Errorf("a length of %d", n)
	}
	frame, err := in.Peek(frameHead + n) // the buffer is larger than any frame
	switch {
	case err == io.EOF:
		return nil, errors.New("cut off")
	case err != nil:
		return nil, err
	}
	content := frame[frameHead:]
	if crc32.Checksum(content, castagnoli) != sum {
		return nil, errors.New("checksum differs")
	}
	_, err = in.Discard(frameHead + n)
	return content, err
}

func frameReader(in io.Reader) *bufio.Reader { return bufio.NewReaderSize(in, frameHead+maxFrame) }

func appendText[T ~string | ~[]byte](to []byte, text T) []byte {
	to = binary.AppendUvarint(to, uint64(len(text)))
	return append(to, text...)
}

// appendEntry writes an entry.
func appendEntry(to []byte, e *entry) []byte {
	to = binary.AppendVarint(to, e.Seq)
	to = appendText(to, e.Mark)
	to = appendText(to, e.ICCID)
	to = appendText(to, e.Fleet)
	to = appendText(to, e.State)
	to = appendText(to, e.ID)
	if e.ID == "" {
		return appendText(to, e.Attributes.packed)
	}
	to = appendText(to, e.Type)
	to = appendText(to, e.Fingerprint)
	to = appendText(to, e.Serial)
	to = appendText(to, e.Identity)
	c := e.Confirmation
	if c == nil {
		c = &api.Confirmation{}
	}
	to = appendText(to, c.Challenge)
	to = appendText(to, c.Proof)
	return binary.AppendVarint(to, micros(e.NotAfter))
}

// content is read from its front. After an error everything is empty.
type content struct {
	rest []byte
	bad  bool
}

func (c *content) number() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.bad, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *content) bytes() []byte {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 || v > uint64(len(c.rest)-n) {
		c.bad, c.rest = true, nil
		return nil
	}
	text := c.rest[n : n+int(v)]
	c.rest = c.rest[n+int(v):]
	return text
}

func (c *content) text() string { return string(c.bytes()) }

// entry reads what appendEntry wrote. Byte strings are good for as long as the frame is.
func (c *content) entry() (*entry, error) {
	e := &entry{Seq: c.number(), Mark: c.text(), ICCID: c.text(), Fleet: c.text(), State: c.text(), ID: c.text()}
	if e.ID == "" {
		e.Attributes.packed = c.text()
	} else {
		e.Type, e.Fingerprint, e.Serial, e.Identity = api.CredentialType(c.text()), c.bytes(), c.bytes(), c.text()
		if challenge, proof := c.bytes(), c.bytes(); len(challenge) > 0 {
			e.Confirmation = &api.Confirmation{Challenge: challenge, Proof: proof}
		}
		if end := c.number(); end != 0 {
			e.NotAfter = time.UnixMicro(end).UTC()
		}
	}
	if c.bad {
		return nil, errors.New("an entry that cannot be read")
	}
	return e, e.check()
}

// fileHead is the first frame of a file.
type fileHead struct {
	format  string
	at      api.FeedPosition // what the file's content continues, or is the state at
	contact int64            // the platform's time when it was last heard, in microseconds since 1970; 0: not known
}

func (h *fileHead) frame() []byte {
	f := appendText(beginFrame(nil), h.format)
	f = appendText(f, h.at.ID)
	f = binary.AppendVarint(f, h.at.Seq)
	f = appendText(f, h.at.Mark)
	f = binary.AppendVarint(f, h.contact)
	endFrame(f)
	return f
}

func readHead(in *bufio.Reader, format string) (h fileHead, size int64, err error) {
	frame, err := readFrame(in)
	if err != nil {
		return h, 0, fmt.Errorf("its head: %w", err)
	}
	c := content{rest: frame}
	h = fileHead{format: c.text(), at: api.FeedPosition{ID: c.text(), Seq: c.number(), Mark: c.text()}, contact: c.number()}
	if c.bad || h.format != format || h.at.ID == "" || h.at.Seq < 0 {
		return h, 0, fmt.Errorf("its head is not that of a %s file", format)
	}
	return h, int64(frameHead + len(frame)), nil
}
