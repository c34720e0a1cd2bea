package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/internal/twice"
)

// Bounds of a batch file.
const (
	MaxBatchLine = 4 << 10   // bytes in a line
	MaxBatchSIMs = 2_000_000 // SIMs in a file
)

// Sizes of what a batch says of a SIM, in bytes.
const (
	simKeySize   = 16 // each of ENC, MAC, DEK
	minDomainAID = 5
	maxDomainAID = 16
	maxSealed    = 256
)

// PlainSIM is what [AppendBatch] and [BatchWriter] seal: the SCP03 keys of one SIM, in clear.
type PlainSIM struct {
	ICCID      string
	KeyVersion byte   // 30 to 3F hexadecimal
	Domain     []byte // AID of the security domain

	ENC, MAC, DEK []byte // AES-128

	Attributes Attributes

	Enrolment []byte // see [BatchSIM]
}

// String names the SIM and reveals no key.
func (s PlainSIM) String() string {
	return fmt.Sprintf("SIM %s, key version %02X", s.ICCID, s.KeyVersion)
}

// GoString is String, so that no verb prints a key.
func (s PlainSIM) GoString() string { return s.String() }

// Seal encrypts the keys to a platform's transport key.
func (s PlainSIM) Seal(transportKey []byte) (BatchSIM, error) {
	b := BatchSIM{ICCID: s.ICCID, KeyVersion: s.KeyVersion, Domain: s.Domain, Attributes: s.Attributes, Enrolment: s.Enrolment}
	if len(s.ENC) != simKeySize || len(s.MAC) != simKeySize || len(s.DEK) != simKeySize {
		return b, fmt.Errorf("SIM %s: its keys have %d, %d and %d bytes: want three of %d", s.ICCID, len(s.ENC), len(s.MAC), len(s.DEK), simKeySize)
	}
	keys := bytes.Join([][]byte{s.ENC, s.MAC, s.DEK}, nil)
	defer clear(keys)
	var err error
	if b.Sealed, err = Seal(transportKey, BatchInfo(s.ICCID, s.KeyVersion), keys); err != nil {
		return b, err
	}
	return b, b.Check()
}

// Open decrypts the keys with the private transport key.
func (s BatchSIM) Open(private []byte) (PlainSIM, error) {
	o, err := NewOpener(private)
	if err != nil {
		return PlainSIM{}, err
	}
	return s.OpenWith(o)
}

// OpenWith is Open with a transport key that is used often.
func (s BatchSIM) OpenWith(o *Opener) (PlainSIM, error) {
	keys, err := o.Open(BatchInfo(s.ICCID, s.KeyVersion), s.Sealed)
	if err != nil {
		return PlainSIM{}, err
	}
	if len(keys) != 3*simKeySize {
		return PlainSIM{}, fmt.Errorf("%d bytes of SIM keys: want %d", len(keys), 3*simKeySize)
	}
	return PlainSIM{
		ICCID: s.ICCID, KeyVersion: s.KeyVersion, Domain: s.Domain,
		ENC: keys[:16:16], MAC: keys[16:32:32], DEK: keys[32:48:48], Attributes: s.Attributes, Enrolment: s.Enrolment,
	}, nil
}

// Check tells whether the fields lie within their bounds.
func (s BatchSIM) Check() error {
	if _, err := card.ParseICCID(s.ICCID); err != nil {
		return err
	}
	if s.KeyVersion < 0x30 || s.KeyVersion > 0x3F {
		return fmt.Errorf("SIM %s: key version %02X: want 30 to 3F", s.ICCID, s.KeyVersion)
	}
	if n := len(s.Domain); n < minDomainAID || n > maxDomainAID {
		return fmt.Errorf("SIM %s: a security domain with an AID of %d bytes: want %d to %d", s.ICCID, n, minDomainAID, maxDomainAID)
	}
	if n := len(s.Sealed); n == 0 || n > maxSealed {
		return fmt.Errorf("SIM %s: %d bytes of sealed keys: want 1 to %d", s.ICCID, n, maxSealed)
	}
	if err := s.Attributes.Check(); err != nil {
		return fmt.Errorf("SIM %s: %w", s.ICCID, err)
	}
	if n := len(s.Enrolment); n != 0 && n != sha256.Size {
		return fmt.Errorf("SIM %s: an enrolment secret's hash of %d bytes: want %d", s.ICCID, n, sha256.Size)
	}
	return nil
}

// BatchError says what is wrong with a batch file, and where.
type BatchError struct {
	Line int // counted from 1
	Err  error
	// Final tells that it is not one line that is wrong, but the file.
	Final bool
}

func (e *BatchError) Error() string { return fmt.Sprintf("batch file, line %d: %v", e.Line, e.Err) }

// Unwrap returns the cause.
func (e *BatchError) Unwrap() error { return e.Err }

// BatchReader reads a batch file SIM by SIM. It holds one line, and refuses what is cut short, too long or
// no part of the format. A SIM that stands twice is for others to notice: see [BatchWriter].
type BatchReader struct {
	lines  *bufio.Reader
	line   int
	header BatchHeader
	count  int // SIMs so far, bad ones included
	err    error
}

// NewBatchReader reads the header of a batch file. Errors are a [*BatchError], or what
// the reader returned.
func NewBatchReader(r io.Reader) (*BatchReader, error) {
	b := &BatchReader{lines: bufio.NewReaderSize(r, MaxBatchLine)}
	text, err := b.next()
	if err == io.EOF {
		return nil, b.wrong("the file is empty")
	}
	if err != nil {
		return nil, err
	}
	if err := strictly(text, &b.header); err != nil {
		return nil, b.wrong("this is no batch file: %v", err)
	}
	if b.header.Format != BatchFormat {
		return nil, b.wrong("format %q: this version reads %q", b.header.Format, BatchFormat)
	}
	if len(b.header.TransportKey) != SealKeySize {
		return nil, b.wrong("a transport key of %d bytes: want %d", len(b.header.TransportKey), SealKeySize)
	}
	return b, nil
}

// Header is the file's first line.
func (b *BatchReader) Header() BatchHeader { return b.header }

// Line is the number of the line that was read last, counted from 1.
func (b *BatchReader) Line() int { return b.line }

// Next returns the next SIM, or [io.EOF] after the trailer of a complete file. What is wrong with one line,
// a [*BatchError] that is not Final, does not end the reading.
func (b *BatchReader) Next() (BatchSIM, error) {
	if b.err != nil {
		return BatchSIM{}, b.err
	}
	sim, err := b.read()
	var wrong *BatchError
	if !errors.As(err, &wrong) || wrong.Final {
		b.err = err
	}
	return sim, err
}

func (b *BatchReader) read() (BatchSIM, error) {
	text, err := b.next()
	if err == io.EOF {
		return BatchSIM{}, b.wrong("the file is cut short after %d SIMs: its last line is missing; fetch it again", b.count)
	}
	if err != nil {
		return BatchSIM{}, err
	}
	var line struct {
		BatchSIM
		End *int `json:"end"`
	}
	err = strictly(text, &line)
	if err == nil && line.End != nil {
		return BatchSIM{}, b.end(*line.End)
	}
	if b.count == MaxBatchSIMs {
		return BatchSIM{}, b.wrong("more than %d SIMs: split the file", MaxBatchSIMs)
	}
	b.count++
	if err != nil {
		return BatchSIM{}, b.bad("%v", err)
	}
	sim := line.BatchSIM
	if err := sim.Check(); err != nil {
		return BatchSIM{}, b.bad("%w", err)
	}
	return sim, nil
}

// end checks the trailer, and that nothing follows it.
func (b *BatchReader) end(count int) error {
	if count != b.count {
		return b.wrong("the file says that it holds %d SIMs, but it holds %d: fetch it again", count, b.count)
	}
	switch _, err := b.next(); err {
	case io.EOF:
		return io.EOF
	case nil:
		return b.wrong("something follows the end of the batch")
	default:
		return err
	}
}

// next returns one line without its end. The last line of a file needs no end.
func (b *BatchReader) next() ([]byte, error) {
	text, err := b.lines.ReadSlice('\n')
	if err == io.EOF && len(text) == 0 {
		b.line++
		return nil, io.EOF
	}
	b.line++
	switch {
	case err == bufio.ErrBufferFull:
		return nil, b.wrong("the line is longer than %d bytes", MaxBatchLine)
	case err != nil && err != io.EOF:
		return nil, err
	}
	return bytes.TrimRight(text, "\r\n"), nil
}

// wrong ends the reading; bad is what is wrong with one line.
func (b *BatchReader) wrong(format string, args ...any) error {
	return &BatchError{Line: b.line, Err: fmt.Errorf(format, args...), Final: true}
}

func (b *BatchReader) bad(format string, args ...any) error {
	return &BatchError{Line: b.line, Err: fmt.Errorf(format, args...)}
}

// strictly decodes one JSON value and nothing else, without fields that are not known.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// BatchWriter writes a batch file SIM by SIM, with memory that does not grow with the file. The file is
// complete after Close, which also notices SIMs that stand twice; to do so it has a file of its own in
// the folder for temporary ones if there are many.
type BatchWriter struct {
	out          *bufio.Writer
	encode       *json.Encoder
	transportKey []byte
	count        int
	numbers      twice.List
}

// NewBatchWriter begins a batch whose keys are sealed to a platform's public transport key.
func NewBatchWriter(w io.Writer, transportKey []byte) (*BatchWriter, error) {
	if len(transportKey) != SealKeySize {
		return nil, fmt.Errorf("a transport key of %d bytes: want %d", len(transportKey), SealKeySize)
	}
	out := bufio.NewWriter(w)
	b := &BatchWriter{out: out, encode: json.NewEncoder(out), transportKey: bytes.Clone(transportKey)}
	return b, b.encode.Encode(BatchHeader{Format: BatchFormat, TransportKey: transportKey})
}

// Add seals SIMs, on all cores, and writes them.
func (b *BatchWriter) Add(sims ...PlainSIM) error {
	sealed := make([]BatchSIM, len(sims))
	var work errgroup.Group
	cores := min(runtime.GOMAXPROCS(0), len(sims))
	for first := range cores {
		work.Go(func() (err error) {
			for i := first; i < len(sims) && err == nil; i += cores {
				sealed[i], err = sims[i].Seal(b.transportKey)
			}
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	for _, sim := range sealed {
		if err := b.AddSealed(sim); err != nil {
			return err
		}
	}
	return nil
}

// AddSealed writes a SIM whose keys are sealed to the writer's transport key already.
func (b *BatchWriter) AddSealed(sim BatchSIM) error {
	if err := sim.Check(); err != nil {
		return err
	}
	if b.count == MaxBatchSIMs {
		return fmt.Errorf("the batch is full: it holds %d SIMs", MaxBatchSIMs)
	}
	b.count++
	if err := b.numbers.Add(card.ICCID(sim.ICCID).File(), uint32(b.count)); err != nil {
		return err
	}
	return b.encode.Encode(sim)
}

// Close writes the trailer, unless a SIM stands twice. It does not close the writer underneath. A batch that
// is given up is closed too, and its error not looked at.
func (b *BatchWriter) Close() (err error) {
	defer func() { err = errors.Join(err, b.numbers.Close()) }()
	var number [twice.Size]byte
	var first, again uint32 // of all that stand twice the one that does so first
	if err := b.numbers.Twice(func(n [twice.Size]byte, before, at uint32) {
		if again == 0 || at < again {
			number, first, again = n, before, at
		}
	}); err != nil {
		return err
	}
	if again != 0 {
		iccid, err := card.DecodeICCID(number[:])
		return errors.Join(err, fmt.Errorf("SIM %s stands twice in the batch, as number %d and as number %d", iccid, first, again))
	}
	if err := b.encode.Encode(BatchTrailer{End: b.count}); err != nil {
		return err
	}
	return b.out.Flush()
}

// AppendBatch adds one SIM to a batch file, which it creates if there is none. The file
// is replaced as a whole, so that it is complete at every instant; two callers at once
// must take turns themselves. It refuses a SIM that is in the file already, and a file
// whose keys are sealed to another transport key.
func AppendBatch(file string, transportKey []byte, sim PlainSIM) error {
	fresh, err := os.CreateTemp(filepath.Dir(file), ".batch-*")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // gone already when all went well
	defer fresh.Close()
	b, err := NewBatchWriter(fresh, transportKey)
	if err != nil {
		return err
	}
	if err = b.copyFrom(file); err == nil {
		err = b.Add(sim)
	}
	if closed := b.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := fresh.Sync(); err != nil {
		return err
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), file)
}

// copyFrom takes over the SIMs of a batch file; none if there is no such file.
func (b *BatchWriter) copyFrom(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	old, err := NewBatchReader(f)
	if err != nil {
		return err
	}
	if !bytes.Equal(old.Header().TransportKey, b.transportKey) {
		return errors.New("its keys are sealed to another transport key: begin a new file for this platform")
	}
	for {
		sim, err := old.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.AddSealed(sim); err != nil {
			return err
		}
	}
}
