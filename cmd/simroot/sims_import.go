package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/simroot/simroot/api"
)

// batchName names a batch after its content, so that sending it again is harmless.
func batchName(file *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	_, err := file.Seek(0, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}

// progressOf tells on a terminal how much of a file was read.
func progressOf(file *os.File, w io.Writer) io.Reader {
	info, err := file.Stat()
	if err != nil || !isTerminal(w) || info.Size() == 0 {
		return file
	}
	return &progressReader{file: file, size: info.Size(), w: w, shown: -1}
}

type progressReader struct {
	file       *os.File
	read, size int64
	shown      int64 // per cent
	w          io.Writer
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.file.Read(b)
	p.read += int64(n)
	if percent := 100 * p.read / p.size; percent != p.shown {
		p.shown = percent
		fmt.Fprintf(p.w, "\r%3d %%", percent)
	}
	if err == io.EOF {
		fmt.Fprint(p.w, "\r     \r")
	}
	return n, err
}

func printImport(w io.Writer, fleet string, r api.ImportResult) (err error) {
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	for _, e := range r.Errors {
		say("line %d: %s\n", e.Line, e.Problem)
	}
	if more := r.Rejected - len(r.Errors); more > 0 {
		say("and %d further lines\n", more)
	}
	switch {
	case r.DryRun:
		say("%d SIMs are good for fleet %s, %d lines are not; nothing was changed\n", r.Imported, fleet, r.Rejected)
	case r.Repeated:
		say("This batch was imported before: %d SIMs into fleet %s\n", r.Imported, fleet)
	case r.Rejected > 0:
		say("Imported %d SIMs into fleet %s, left out %d lines\n", r.Imported, fleet, r.Rejected)
	default:
		say("Imported %d SIMs into fleet %s\n", r.Imported, fleet)
	}
	return err
}
