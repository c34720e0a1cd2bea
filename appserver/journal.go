package appserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The journal keeps the replica over restarts, in generations. Generation N is the file
// state-N, the whole state at one position of the history, and log-N, the events from there
// on. To begin a new generation, the log that was written so far ends and the next one
// begins, at the same position; the state at that position is written beside the work
// that goes on, and takes its name when it is complete and on disk. So at any instant the
// newest complete state and the logs from its number on are the whole, each log beginning
// where the one before it ends. The generation before is kept as well, so that a damaged
// state costs nothing.
//
// Every frame has a checksum. A frame of a log that is damaged or cut off ends the journal:
// what follows is cut away and fetched from the platform again. Of a damaged state nothing
// is used.
type journal struct {
	dir string

	mu      sync.Mutex
	log     logFile  // nil: nothing is kept until the next generation begins
	last    uint64   // the newest generation
	states  []uint64 // complete ones, ascending, at most two
	entries int      // in the logs since the newest state
	busy    bool     // a state is being written
	buffer  []byte
	heardAt int64 // the platform's time at its last sign of life, in microseconds since 1970
	contact int64 // the same, as it is on disk
	failed  error // why nothing is kept, or why there is no new state
	tried   time.Time
	create  func(path string) (logFile, error)
}

// logFile is an [os.File] that a test may fill up.
type logFile interface {
	io.WriteCloser
	Sync() error
}

const (
	stateFormat = "simroot-replica-state-4"
	logFormat   = "simroot-replica-log-4"
	stateName   = "state-"
	logName     = "log-"
	unfinished  = ".new"
)

// The kinds of frames, in the first byte of each. An event stands alone in its frame; a
// state's frames hold many entries each, and its last frame is the number of all of them.
const (
	eventFrame   = 'e'
	contactFrame = 'c' // the platform's time at a sign of life
	skipFrame    = 'k' // events that are of other fleets: the last one's number and mark
	stateFrame   = 's'
	lastFrame    = 'z'
)

func (j *journal) path(kind string, generation uint64) string {
	return filepath.Join(j.dir, kind+strconv.FormatUint(generation, 10))
}

func createFile(path string) (logFile, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

// openJournal reads the journal in dir. Damage is what was found wrong with it, and
// already repaired as far as possible; the replica is empty if there was nothing to read.
func openJournal(dir string) (j *journal, r *replica, damage error, err error) {
	j = &journal{dir: dir, create: createFile}
	states, logs, err := j.list()
	if err != nil {
		return nil, nil, nil, err
	}
	for i := len(states) - 1; i >= 0; i-- {
		var contact int64
		r, contact, err = readState(j.path(stateName, states[i]))
		if err == nil {
			j.states, j.contact = states[max(0, i-1):i+1], contact
			break
		}
		damage = errors.Join(damage, fmt.Errorf("%s%d: %w", stateName, states[i], err))
		os.Remove(j.path(stateName, states[i]))
	}
	if len(j.states) == 0 {
		for _, g := range logs {
			os.Remove(j.path(logName, g))
		}
		return j, newReplica(), damage, nil
	}
	ended := false
	for _, g := range logs {
		if g < j.states[len(j.states)-1] {
			continue // of the generation before
		}
		if !ended {
			torn, err := j.replay(r, g)
			if err != nil {
				damage = errors.Join(damage, fmt.Errorf("%s%d: %w", logName, g, err))
			}
			ended = torn
		} else {
			os.Remove(j.path(logName, g)) // it follows what is lost
		}
	}
	return j, r, damage, nil
}

// list finds the files, ascending, and removes those that were never finished.
func (j *journal) list() (states, logs []uint64, err error) {
	files, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), unfinished) {
			os.Remove(filepath.Join(j.dir, f.Name()))
			continue
		}
		for kind, found := range map[string]*[]uint64{stateName: &states, logName: &logs} {
			if number, ok := strings.CutPrefix(f.Name(), kind); ok {
				if g, err := strconv.ParseUint(number, 10, 64); err == nil {
					*found = append(*found, g)
					j.last = max(j.last, g)
				}
			}
		}
	}
	slices.Sort(states)
	slices.Sort(logs)
	return states, logs, nil
}

// readState reads a state, of which all must be sound.
func readState(path string) (*replica, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	return parseState(file)
}

func parseState(file io.Reader) (*replica, int64, error) {
	in := frameReader(file)
	head, _, err := readHead(in, stateFormat)
	if err != nil {
		return nil, 0, err
	}
	r := newReplica()
	r.FeedPosition = head.at
	for entries := int64(0); ; {
		frame, err := readFrame(in)
		if err == io.EOF {
			err = errors.New("cut off")
		}
		if err == nil && len(frame) == 0 {
			err = errors.New("an empty frame")
		}
		if err != nil {
			return nil, 0, fmt.Errorf("after %d entries: %w", entries, err)
		}
		c := content{rest: frame[1:]}
		if frame[0] == lastFrame {
			if c.number() != entries {
				return nil, 0, fmt.Errorf("it has %d entries and says another number", entries)
			}
			return r, head.contact, nil
		}
		for len(c.rest) > 0 {
			e, err := c.entry()
			if err != nil {
				return nil, 0, fmt.Errorf("after %d entries: %w", entries, err)
			}
			r.apply(e)
			entries++
		}
	}
}

// replay applies a log to the state that it continues, and goes on writing there. Torn
// tells that the journal ends here.
func (j *journal) replay(r *replica, generation uint64) (torn bool, damage error) {
	path := j.path(logName, generation)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return true, err
	}
	good, contact, entries, damage := replayLog(file, r)
	if good == 0 {
		// What was written last may not have reached the disk: then the log before it is
		// the last one, and this one is made anew.
		file.Close()
		os.Remove(path)
		return true, damage
	}
	if damage != nil {
		if err := file.Truncate(good); err != nil {
			file.Close()
			os.Remove(path)
			return true, errors.Join(damage, err)
		}
	}
	if j.log != nil {
		j.log.Close()
	}
	j.log = file
	j.entries += entries
	j.contact = max(j.contact, contact)
	return damage != nil, damage
}

// replayLog applies as much as is sound: good is its size in bytes.
func replayLog(file io.Reader, r *replica) (good, contact int64, entries int, damage error) {
	in := frameReader(file)
	head, size, err := readHead(in, logFormat)
	if err != nil {
		return 0, 0, 0, err
	}
	if head.at != r.FeedPosition {
		return 0, 0, 0, fmt.Errorf("it begins at %d and not at %d", head.at.Seq, r.Seq)
	}
	good, contact = size, head.contact
	for {
		frame, err := readFrame(in)
		if err == io.EOF {
			return good, contact, entries, nil
		}
		if err == nil {
			err = replayFrame(frame, r, &contact, &entries)
		}
		if err != nil {
			return good, contact, entries, fmt.Errorf("after event %d: %w", r.Seq, err)
		}
		good += int64(frameHead + len(frame))
	}
}

func replayFrame(frame []byte, r *replica, contact *int64, entries *int) error {
	if len(frame) == 0 {
		return errors.New("an empty frame")
	}
	c := content{rest: frame[1:]}
	switch frame[0] {
	case contactFrame:
		*contact = max(*contact, c.number())
	case eventFrame:
		e, err := c.entry()
		if err != nil {
			return err
		}
		if e.Seq <= r.Seq {
			return fmt.Errorf("event %d again", e.Seq)
		}
		r.apply(e)
		r.Seq, r.Mark = e.Seq, e.Mark
		*entries++
	case skipFrame:
		seq, mark := c.number(), c.text()
		if seq <= r.Seq {
			return fmt.Errorf("a skip to event %d", seq)
		}
		r.Seq, r.Mark = seq, mark
	default:
		return fmt.Errorf("a frame of kind %d", frame[0])
	}
	if c.bad || len(c.rest) > 0 {
		return errors.New("a frame that cannot be read")
	}
	return nil
}

// append adds an event. It is safe from the end of the process at once, and from a loss of
// power after the next sync. After an error nothing is kept until the next generation.
func (j *journal) append(e *entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.log == nil {
		return nil
	}
	j.entries++
	return j.write(appendEntry(append(beginFrame(j.buffer[:0]), eventFrame), e))
}

// skip notes that there is nothing to keep up to an event. It is as durable as what append writes.
func (j *journal) skip(seq int64, mark string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.log == nil {
		return nil
	}
	return j.write(appendText(binary.AppendVarint(append(beginFrame(j.buffer[:0]), skipFrame), seq), mark))
}

// heard notes the platform's time at a sign of life, once a minute.
func (j *journal) heard(at time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heardAt = at.UnixMicro()
	if j.log == nil || j.heardAt-j.contact < time.Minute.Microseconds() {
		return nil
	}
	j.contact = j.heardAt
	return j.write(binary.AppendVarint(append(beginFrame(j.buffer[:0]), contactFrame), j.contact))
}

func (j *journal) write(frame []byte) error {
	endFrame(frame)
	j.buffer = frame
	if _, err := j.log.Write(frame); err != nil {
		j.stop(err)
		return j.failed
	}
	return nil
}

// stop ends the keeping until the next generation begins.
func (j *journal) stop(why error) {
	if j.log != nil {
		j.log.Close()
		j.log = nil
	}
	j.failed = fmt.Errorf("journal: %w", why)
}

// abandon is for a state that does not continue what was kept.
func (j *journal) abandon() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stop(errors.New("the new history is not on disk yet"))
	j.tried = time.Time{}
}

// failure is why the replica is not kept on disk as it should be, nil if it is.
func (j *journal) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// due tells whether a new generation should begin: the logs have become far longer than
// a state of the given size, or nothing is kept. After a failure it waits a while.
func (j *journal) due(size int, now time.Time, retry time.Duration) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.busy || j.failed != nil && now.Sub(j.tried) < retry && !now.Before(j.tried) {
		return false
	}
	return j.log == nil || j.failed != nil || j.entries > 4096+size
}

// begin begins a new generation with a frozen replica. The returned function writes the
// state, while the journal is appended to, and must be called.
func (j *journal) begin(r *replica, now time.Time) (write func() error, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tried = now
	j.last++
	j.contact = max(j.contact, j.heardAt)
	head := fileHead{format: logFormat, at: r.FeedPosition, contact: j.contact}
	log, err := j.create(j.path(logName, j.last))
	if err == nil {
		if _, err = log.Write(head.frame()); err != nil {
			log.Close()
		}
	}
	if err != nil {
		os.Remove(j.path(logName, j.last))
		return nil, j.noRoom(err)
	}
	old, orphan, generation, entries := j.log, j.log == nil, j.last, j.entries
	j.log, j.entries, j.busy = log, 0, true
	return func() error {
		var err error
		if old != nil {
			err = errors.Join(old.Sync(), old.Close())
		}
		if err == nil {
			err = j.writeState(generation, r, head.contact)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.busy = false
		if err != nil {
			j.entries += entries
			if orphan { // without its state the log is worth nothing
				j.stop(err)
			}
			return j.noRoom(err)
		}
		if j.log != nil {
			j.failed = nil
		}
		j.settle(generation, orphan)
		return nil
	}, nil
}

// noRoom notes a failure. Is the disk full, the generation before makes room.
func (j *journal) noRoom(err error) error {
	j.failed = fmt.Errorf("journal: a new generation cannot be written: %w", err)
	if errors.Is(err, syscall.ENOSPC) && len(j.states) > 1 {
		j.states = j.states[1:]
		j.prune(j.states[0])
	}
	return j.failed
}

// settle makes a complete state the newest one. What lies before a gap is of no use.
func (j *journal) settle(generation uint64, gap bool) {
	if gap {
		j.states = nil
	}
	j.states = append(j.states, generation)
	j.states = j.states[max(0, len(j.states)-2):]
	j.prune(j.states[0])
}

// prune removes what is older than a generation.
func (j *journal) prune(oldest uint64) {
	states, logs, err := j.list()
	if err != nil {
		return // the next generation tries again
	}
	for _, g := range states {
		if g < oldest {
			os.Remove(j.path(stateName, g))
		}
	}
	for _, g := range logs {
		if g < oldest {
			os.Remove(j.path(logName, g))
		}
	}
}

// writeState writes a state under its name in one step.
func (j *journal) writeState(generation uint64, r *replica, contact int64) (err error) {
	path := j.path(stateName, generation)
	file, err := j.create(path + unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(path + unfinished)
		}
	}()
	head := fileHead{format: stateFormat, at: r.FeedPosition, contact: contact}
	if _, err := file.Write(head.frame()); err != nil {
		return err
	}
	frame, entries := append(beginFrame(nil), stateFrame), int64(0)
	flush := func() bool {
		endFrame(frame)
		_, err = file.Write(frame)
		frame = frame[:frameHead+1]
		return err == nil
	}
	r.entries(func(e *entry) bool {
		frame = appendEntry(frame, e)
		entries++
		return len(frame) < maxFrame/2 || flush()
	})
	if err != nil || !flush() {
		return err
	}
	frame = binary.AppendVarint(append(frame[:frameHead], lastFrame), entries)
	if !flush() {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return err
	}
	return syncDir(j.dir)
}

// sync waits until what was appended would survive a loss of power.
func (j *journal) sync() error {
	j.mu.Lock()
	log := j.log
	j.mu.Unlock()
	if log == nil {
		return nil
	}
	if err := log.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	err := j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.log == nil {
		return err
	}
	err = errors.Join(err, j.log.Close())
	j.log = nil
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
