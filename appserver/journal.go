package appserver

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
)

// The journal keeps the replica over restarts. It is a text file: each line is the CRC-32C
// of the rest in hexadecimal, a space, and JSON. The first line is a [journalHeader], the
// next ones tell the state at its sequence number, and all further ones are the events
// since then, without gaps.
//
// A line that is damaged or cut off ends the journal: what follows is cut away and fetched
// from the platform again. If the damage lies in the header or the state, nothing of it is used.
type journal struct {
	path string

	mu     sync.Mutex
	file   *os.File // nil: nothing is kept until the next rewrite
	lines  int
	buffer bytes.Buffer
}

// journalFormat names the format in the header.
const journalFormat = "simroot-replica-1"

type journalHeader struct {
	Format string `json:"format"`
	Feed   string `json:"feed"`
	Seq    int64  `json:"seq"`   // the state's
	State  int    `json:"state"` // the number of lines that tell it
}

// entry is an event as far as the replica needs it: of a SIM, or with an ID of a credential.
// Without what is left out, such as the certificate itself, reading takes half the time.
type entry struct {
	Seq          int64              `json:"seq,omitempty"` // 0 in the state
	ICCID        string             `json:"iccid"`
	Fleet        string             `json:"fleet,omitempty"`
	State        string             `json:"state,omitempty"`
	ID           string             `json:"id,omitempty"`
	Type         api.CredentialType `json:"type,omitempty"`
	Fingerprint  []byte             `json:"fingerprint,omitempty"`
	Identity     string             `json:"identity,omitempty"`
	Confirmation *api.Confirmation  `json:"confirmation,omitempty"`
	NotAfter     time.Time          `json:"not_after,omitzero"`
}

func newEntry(e *api.Event) entry {
	if s := e.SIM; s != nil {
		return entry{Seq: e.Seq, ICCID: s.ICCID, Fleet: s.Fleet, State: string(s.State)}
	}
	c := e.Credential
	return entry{
		Seq: e.Seq, ICCID: c.ICCID, Fleet: c.Fleet, State: string(c.State), ID: c.ID, Type: c.Type,
		Fingerprint: c.Fingerprint, Identity: c.Identity, Confirmation: c.Confirmation, NotAfter: c.NotAfter,
	}
}

func (e *entry) event() *api.Event {
	if e.ID == "" {
		return &api.Event{Seq: e.Seq, SIM: &api.SIM{ICCID: e.ICCID, Fleet: e.Fleet, State: api.SIMState(e.State)}}
	}
	return &api.Event{Seq: e.Seq, Credential: &api.Credential{
		ID: e.ID, ICCID: e.ICCID, Fleet: e.Fleet, Type: e.Type, State: api.CredentialState(e.State),
		Fingerprint: e.Fingerprint, Identity: e.Identity, Confirmation: e.Confirmation, NotAfter: e.NotAfter,
	}}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxJournalLine is the longest line that is written or read.
const maxJournalLine = api.MaxFeedLine + 16

// openJournal reads the journal at path. Damage is what was found wrong with it, and
// already repaired as far as possible; the replica is empty if there was nothing to read.
func openJournal(path string) (j *journal, r *replica, damage error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return &journal{path: path}, newReplica(), nil, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	r, good, lines, damage := readJournal(file)
	if r.feed == "" {
		file.Close()
		return &journal{path: path}, r, damage, nil
	}
	if damage != nil {
		if err := file.Truncate(good); err != nil {
			file.Close()
			return nil, nil, nil, fmt.Errorf("cut the damaged end off %s: %w", path, err)
		}
	}
	if _, err := file.Seek(good, io.SeekStart); err != nil {
		file.Close()
		return nil, nil, nil, err
	}
	return &journal{path: path, file: file, lines: lines}, r, damage, nil
}

// readJournal reads as much as is sound: good is its size in bytes.
func readJournal(in io.Reader) (r *replica, good int64, lines int, damage error) {
	buffered := bufio.NewReaderSize(in, maxJournalLine)
	header := journalHeader{}
	text, err := readJournalLine(buffered)
	if err == nil {
		err = json.Unmarshal(text, &header)
	}
	if err != nil || header.Format != journalFormat || header.Feed == "" || header.Seq < 0 || header.State < 0 {
		return newReplica(), 0, 0, fmt.Errorf("its first line is not that of a %s file", journalFormat)
	}
	r = newReplica()
	good, lines = int64(len(text))+journalFrame, 1
	for ; ; lines++ {
		text, err := readJournalLine(buffered)
		if err == io.EOF && lines > header.State {
			r.feed, r.seq = header.Feed, max(r.seq, header.Seq)
			return r, good, lines, nil
		}
		var e entry
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		inState := lines <= header.State
		if err == nil && !inState && e.Seq != max(r.seq, header.Seq)+1 {
			err = fmt.Errorf("event %d follows %d", e.Seq, max(r.seq, header.Seq))
		}
		switch {
		case err != nil && inState:
			return newReplica(), 0, 0, fmt.Errorf("line %d, a part of the state: %w", lines+1, err)
		case err != nil:
			r.feed, r.seq = header.Feed, max(r.seq, header.Seq)
			return r, good, lines, fmt.Errorf("line %d: %w", lines+1, err)
		}
		if inState {
			e.Seq = header.Seq
		}
		r.apply(e.event())
		good += int64(len(text)) + journalFrame
	}
}

// journalFrame is what a line has beside its JSON: checksum, space and line feed.
const journalFrame = 8 + 1 + 1

// readJournalLine returns the JSON of the next line, which is good until the next call,
// and io.EOF only at the end of a sound file.
func readJournalLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case err == io.EOF:
		return nil, errors.New("cut off")
	case err != nil:
		return nil, err
	case len(line) < journalFrame || line[8] != ' ':
		return nil, errors.New("has no checksum")
	}
	text := line[9 : len(line)-1]
	var want [8]byte
	if !bytes.Equal(line[:8], appendSum(want[:0], text)) {
		return nil, errors.New("checksum differs")
	}
	return text, nil
}

func appendSum(to, text []byte) []byte {
	sum := crc32.Checksum(text, castagnoli)
	for shift := 28; shift >= 0; shift -= 4 {
		to = append(to, "0123456789abcdef"[sum>>shift&0xF])
	}
	return to
}

// writeJournalLine writes a value as one line.
func writeJournalLine(to *bytes.Buffer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(text)+journalFrame > maxJournalLine {
		return fmt.Errorf("an event of %d bytes is too long for the journal", len(text))
	}
	to.Write(appendSum(to.AvailableBuffer(), text))
	to.WriteByte(' ')
	to.Write(text)
	to.WriteByte('\n')
	return nil
}

// append adds an event. It is safe from the end of the process at once, and from a loss of
// power after the next sync. After an error nothing is kept until the next rewrite.
func (j *journal) append(e *api.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	j.buffer.Reset()
	err := writeJournalLine(&j.buffer, newEntry(e))
	if err == nil {
		_, err = j.file.Write(j.buffer.Bytes())
	}
	if err != nil {
		j.file.Close()
		j.file = nil
		return fmt.Errorf("journal: %w", err)
	}
	j.lines++
	return nil
}

// broken tells whether a rewrite is needed before anything is kept.
func (j *journal) broken() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file == nil
}

// overgrown tells whether the journal is far longer than a state of the given size.
func (j *journal) overgrown(size int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines > 4096+2*size
}

// sync waits until what was appended would survive a loss of power.
func (j *journal) sync() error {
	j.mu.Lock()
	file := j.file
	j.mu.Unlock()
	if file == nil {
		return nil
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// rewrite replaces the journal by one that holds nothing but the state of r. The old one
// stays until the new one is on disk.
func (j *journal) rewrite(r *replica) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("rewrite the journal: %w", err)
		}
	}()
	file, err := os.CreateTemp(filepath.Dir(j.path), filepath.Base(j.path)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
		}
	}()
	var lines bytes.Buffer
	if err := writeJournalLine(&lines, journalHeader{Format: journalFormat, Feed: r.feed, Seq: r.seq, State: r.size()}); err != nil {
		return err
	}
	for e := range r.entries {
		if err := writeJournalLine(&lines, e); err != nil {
			return err
		}
		if lines.Len() > 1<<20 {
			if _, err := lines.WriteTo(file); err != nil {
				return err
			}
		}
	}
	if _, err := lines.WriteTo(file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), j.path); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(j.path)); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.lines = file, 1+r.size()
	return nil
}

func (j *journal) close() error {
	err := j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return err
	}
	err = errors.Join(err, j.file.Close())
	j.file = nil
	return err
}

// syncDir makes a rename in dir survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
