// Package twice finds what stands twice in a list of millions of numbers, in memory that does not grow with
// the list: the numbers are sorted on disk.
package twice

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Size is that of a number, in bytes: as many as an ICCID has on its SIM.
const Size = 10

// entry is a number with its place behind it, so that entries are ordered by both.
type entry [Size + 4]byte

// held is how many entries are in memory at most: 0.9 MB.
const held = 1 << 16

// List is a list of numbers, empty at first. It must be closed. It is not for concurrent use.
type List struct {
	last []entry  // not on disk yet
	file *os.File // runs of entries, each of them sorted; nil: there is none
	runs int      // of held entries each
}

// Add appends a number that stands at a place. Places only grow.
func (l *List) Add(number [Size]byte, place uint32) error {
	var e entry
	copy(e[:], number[:])
	binary.BigEndian.PutUint32(e[Size:], place)
	l.last = append(l.last, e)
	if len(l.last) < held {
		return nil
	}
	return l.spill()
}

// spill moves a run to the file, in the folder for temporary files. Nobody else needs its name.
func (l *List) spill() (err error) {
	if l.file == nil {
		if l.file, err = os.CreateTemp("", "simroot-twice-*"); err != nil {
			return err
		}
		os.Remove(l.file.Name()) //nolint:errcheck // where an open file cannot be removed, Close does it
	}
	l.sort()
	out := bufio.NewWriter(l.file)
	for i := range l.last {
		out.Write(l.last[i][:]) //nolint:errcheck // Flush tells
	}
	l.last = l.last[:0]
	l.runs++
	return out.Flush()
}

func (l *List) sort() {
	slices.SortFunc(l.last, func(a, b entry) int { return bytes.Compare(a[:], b[:]) })
}

// Twice calls found with every place of a number but its first one, in the order of numbers and places.
func (l *List) Twice(found func(number [Size]byte, first, again uint32)) error {
	l.sort()
	sources := []func() (entry, error){l.fromMemory()}
	for n := range l.runs {
		sources = append(sources, l.fromFile(n))
	}
	heads := make([]entry, 0, len(sources))
	for i := 0; i < len(sources); { // the first of each
		e, err := sources[i]()
		switch {
		case err == io.EOF:
			sources = slices.Delete(sources, i, i+1)
			continue
		case err != nil:
			return err
		}
		heads = append(heads, e)
		i++
	}
	var first entry // of those with its number
	for begun := false; len(heads) > 0; begun = true {
		least := 0
		for i := range heads {
			if bytes.Compare(heads[i][:], heads[least][:]) < 0 {
				least = i
			}
		}
		if e := heads[least]; begun && bytes.Equal(e[:Size], first[:Size]) {
			found([Size]byte(e[:]), first.place(), e.place())
		} else {
			first = e
		}
		next, err := sources[least]()
		switch {
		case err == io.EOF:
			heads, sources = slices.Delete(heads, least, least+1), slices.Delete(sources, least, least+1)
		case err != nil:
			return err
		default:
			heads[least] = next
		}
	}
	return nil
}

func (e entry) place() uint32 { return binary.BigEndian.Uint32(e[Size:]) }

func (l *List) fromMemory() func() (entry, error) {
	rest := l.last
	return func() (e entry, err error) {
		if len(rest) == 0 {
			return e, io.EOF
		}
		e, rest = rest[0], rest[1:]
		return e, nil
	}
}

func (l *List) fromFile(run int) func() (entry, error) {
	const size = held * int64(len(entry{}))
	in := bufio.NewReader(io.NewSectionReader(l.file, int64(run)*size, size))
	left := held
	var e entry
	return func() (entry, error) {
		if left == 0 {
			return e, io.EOF
		}
		left--
		_, err := io.ReadFull(in, e[:])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return e, err
	}
}

// Close removes what is on disk. A list that is closed again is none any more.
func (l *List) Close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	if gone := os.Remove(l.file.Name()); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	*l = List{}
	return err
}
