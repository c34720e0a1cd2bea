package conformance

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// maxBlock is how many bytes of a file come with Le 00; several clients break above.
const maxBlock = 255

// readableFiles are the files that can be read.
func (s *Session) readableFiles() []iotsafe.Object {
	var files []iotsafe.Object
	for _, o := range s.objects() {
		if o.Kind == iotsafe.File && o.Active && readable(o) {
			files = append(files, o)
		}
	}
	if len(files) == 0 {
		s.skip("the card has no active file that can be read")
	}
	return files
}

// longestFile is the readable file with the most content.
func (s *Session) longestFile() iotsafe.Object {
	var longest iotsafe.Object
	for _, f := range s.readableFiles() {
		if f.Size >= longest.Size {
			longest = f
		}
	}
	return longest
}

// content reads a whole file, as a careful client does.
func (s *Session) content(f iotsafe.Object) []byte {
	var all []byte
	for len(all) < f.Size {
		block := s.ok(readFile(len(all), id(f)).le(apdu.MaxLe))
		if len(block) == 0 {
			s.fail("file %s ends after %d bytes, its size is %d", f.ID, len(all), f.Size)
		}
		all = append(all, block...)
	}
	return all
}

var fileTests = []Test{
	{
		ID: "3.7-size", Chapter: "3.7, 2.2",
		Title: "A file has exactly as many bytes as tag 20 says",
		run: func(s *Session) {
			for _, f := range s.readableFiles() {
				if n := len(s.content(f)); n != f.Size {
					s.fail("file %s has %d bytes, its size is %d", f.ID, n, f.Size)
				}
			}
		},
	},
	{
		ID: "3.7-block", Chapter: "3.7, 5.1 (6)",
		Title: "READ FILE with Le 00 answers 255 bytes, or what is left of the file",
		run: func(s *Session) {
			for _, f := range s.readableFiles() {
				for _, offset := range []int{0, 1, f.Size - 256, f.Size - 255, f.Size - 1} {
					if offset < 0 {
						continue
					}
					want := max(0, min(maxBlock, f.Size-offset))
					if n := len(s.ok(readFile(offset, id(f)).le(apdu.MaxLe))); offset <= f.Size && n != want {
						s.fail("file %s of %d bytes: %d bytes at offset %d, want %d", f.ID, f.Size, n, offset, want)
					}
				}
			}
		},
	},
	{
		ID: "3.7-offsets", Chapter: "3.7",
		Title: "READ FILE starts at the offset in P1 and P2",
		run: func(s *Session) {
			f := s.longestFile()
			all := s.content(f)
			for _, offset := range []int{0, 1, 2, 127, 128, 254, 255, 256, 257, 511, 512, len(all) / 2, len(all) - 2, len(all) - 1} {
				if offset < 0 || offset >= len(all) {
					continue
				}
				n := min(16, len(all)-offset)
				s.same("a part of the file", s.ok(readFile(offset, id(f)).le(n)), all[offset:offset+n])
			}
		},
	},
	{
		ID: "3.7-le", Chapter: "3.7, 5.1 (5)",
		Title: "READ FILE answers exactly Le bytes if there are that many",
		run: func(s *Session) {
			f := s.longestFile()
			all := s.content(f)
			for _, n := range []int{1, 2, 50, 127, 128, 254, 255} {
				s.same("the beginning of the file", s.ok(readFile(0, id(f)).le(n)), all[:min(n, len(all))])
			}
			if len(all) > 2 {
				s.same("the end of the file", s.ok(readFile(len(all)-2, id(f)).le(50)), all[len(all)-2:])
			}
		},
	},
	{
		ID: "3.7-no-le", Chapter: "3.7, 3.2",
		Title: "READ FILE without Le, with GET RESPONSE, answers the same as with Le 00",
		run: func(s *Session) {
			for _, f := range s.readableFiles() {
				s.same("a file without Le", s.ok(readFile(0, id(f))), s.ok(readFile(0, id(f)).le(apdu.MaxLe)))
			}
		},
	},
	{
		ID: "3.7-end", Chapter: "3.7, 5.1 (6)",
		Title: "READ FILE at the end of the file answers 9000 and no data",
		run: func(s *Session) {
			for _, f := range s.readableFiles() {
				if data := s.ok(readFile(f.Size, id(f)).le(apdu.MaxLe)); len(data) > 0 {
					s.fail("file %s of %d bytes: %d bytes at its end", f.ID, f.Size, len(data))
				}
			}
		},
	},
	{
		ID: "3.7-beyond", Chapter: "3.7, 5.1 (6), 8 (19)",
		Title: "READ FILE beyond the end of the file answers 6A86",
		run: func(s *Session) {
			for _, f := range s.readableFiles() {
				for _, offset := range []int{f.Size + 1, f.Size + 255, 0x7FFF, 0x8000, 0xFFFF} {
					if offset > f.Size && offset <= 0xFFFF {
						s.refused(readFile(offset, id(f)).le(apdu.MaxLe), apdu.WrongP1P2)
					}
				}
			}
		},
	},
	{
		ID: "3.7-again", Chapter: "3.7",
		Title: "READ FILE keeps no position: the same command answers the same",
		run: func(s *Session) {
			f := s.longestFile()
			first := s.ok(readFile(0, id(f)).le(20))
			s.ok(readFile(f.Size/2, id(f)).le(20))
			s.same("the beginning of the file, read again", s.ok(readFile(0, id(f)).le(20)), first)
		},
	},
	{
		ID: "3.7-interleaved", Chapter: "3.7",
		Title: "Files read in turns do not mix",
		run: func(s *Session) {
			files := s.readableFiles()
			if len(files) < 2 {
				s.skip("the card has no two files that can be read")
			}
			a, b := files[0], files[1]
			wholeA, wholeB := s.content(a), s.content(b)
			for offset := 0; offset < max(len(wholeA), len(wholeB)); offset += 100 {
				for _, f := range []struct {
					o     iotsafe.Object
					whole []byte
				}{{a, wholeA}, {b, wholeB}} {
					if offset < len(f.whole) {
						s.same("a part of a file", s.ok(readFile(offset, id(f.o)).le(100)), f.whole[offset:min(offset+100, len(f.whole))])
					}
				}
			}
		},
	},
	{
		ID: "3.7-label", Chapter: "3.7, 2.1",
		Title: "A file can be read by its label",
		run: func(s *Session) {
			for _, f := range s.readableFiles() {
				if f.Label != "" && s.bearers(f) == 1 {
					s.same("a file by its label", s.ok(readFile(0, label(f))), s.ok(readFile(0, id(f))))
					return
				}
			}
			s.skip("no file has a label of its own")
		},
	},
	{
		ID: "3.7-unknown", Chapter: "3.7, 3.18, 8 (12)",
		Title: "READ FILE of a file that is not there answers 6A82",
		run: func(s *Session) {
			for _, n := range []int{1, 20} {
				s.refused(readFile(0, s.unknown(iotsafe.File, n)), apdu.NotFound)
			}
			s.refused(readFile(0, field(0x73, bytes.Repeat([]byte{0x7E}, 12)...)), apdu.NotFound)
		},
	},
	{
		ID: "3.7-malformed", Chapter: "3.7, 3.18",
		Title: "READ FILE without a name, or with one that cannot be read, is refused as malformed",
		run: func(s *Session) {
			for _, data := range [][]byte{nil, {0x83}, {0x83, 0x00}, {0x83, 0x02, 0x01}, field(0x83, make([]byte, 21)...), field(0x84, 0x01)} {
				s.refused(command(insReadFile, 0, 0, data).le(apdu.MaxLe), malformed...)
			}
		},
	},
	{
		ID: "3.7-inactive", Chapter: "3.7, 2.2",
		Title: "A file that is not activated cannot be read: 6985",
		run: func(s *Session) {
			f := s.pick(iotsafe.File, "file that is not activated", func(o iotsafe.Object) bool { return !o.Active })
			s.refused(readFile(0, id(f)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.7-no-right", Chapter: "3.7, 2.2",
		Title: "A file without the right to read cannot be read: 6985",
		run: func(s *Session) {
			f := s.pick(iotsafe.File, "file without the right to read (tag 60 bit 01)", func(o iotsafe.Object) bool { return !readable(o) })
			s.refused(readFile(0, id(f)), apdu.ConditionsNot)
		},
	},
}
