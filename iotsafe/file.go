package iotsafe

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/simroot/simroot/apdu"
)

// insReadFile is READ FILE.
const insReadFile = 0xB0

// maxFile is what 16-bit offsets reach.
const maxFile = 0x10000

// maxRereads bounds how often a file that changes while it is read is read anew.
const maxRereads = 3

// ReadFile reads size bytes of a file from its beginning; with a size of 0 or less, all
// of it. Fewer than size bytes are an error. A certificate in a container that is filled
// up with zeros is cut to its own length.
//
// If remote administration replaces the file meanwhile, it is read anew, so that what
// comes back is never a mixture.
func (a *Applet) ReadFile(ctx context.Context, id ID, size int) ([]byte, error) {
	what := Error{Op: opRead, Kind: File, ID: id}
	c, err := command(insReadFile, File, id)
	if err != nil {
		return nil, what.failed(err)
	}
	if size > maxFile {
		return nil, what.failed(fmt.Errorf("%d bytes: a file has at most %d", size, maxFile))
	}
	if err := a.acquire(ctx); err != nil {
		return nil, what.failed(err)
	}
	defer a.release()
	for range maxRereads {
		content, mixed, err := a.readThrough(ctx, what, c, size)
		if err != nil {
			return nil, err
		}
		if !mixed {
			return trimDER(content), nil
		}
	}
	return nil, what.failed(errors.New("remote administration keeps changing it; try again later"))
}

// FileHead reads up to n bytes from the beginning of a file, 1 to 255, in one command: enough
// to tell whether a certificate is still the one that is known.
func (a *Applet) FileHead(ctx context.Context, id ID, n int) ([]byte, error) {
	what := Error{Op: opRead, Kind: File, ID: id}
	c, err := command(insReadFile, File, id)
	if err == nil && (n < 1 || n > apdu.MaxData) {
		err = fmt.Errorf("%d bytes: want 1 to %d", n, apdu.MaxData)
	}
	if err != nil {
		return nil, what.failed(err)
	}
	c.Le = n
	head, err := a.call(ctx, what, c)
	if err != nil {
		return nil, err
	}
	if len(head) == 0 {
		return nil, what.failed(errNoData)
	}
	return head[:min(len(head), n)], nil
}

// readThrough reads a file once. mixed tells that it may have changed between two blocks.
func (a *Applet) readThrough(ctx context.Context, what Error, c apdu.Command, size int) (content []byte, mixed bool, err error) {
	limit := maxFile
	if size > 0 {
		limit = size
		content = make([]byte, 0, size+apdu.MaxLe)
	}
	for len(content) < limit {
		offset := len(content)
		c.P1, c.P2 = byte(offset>>8), byte(offset)
		r, err := a.send(ctx, c)
		if err != nil {
			return nil, false, what.failed(err)
		}
		if offset > 0 && (r.SW == apdu.RemoteAdminDone || r.SW == apdu.RemoteAdminTouched) {
			return nil, true, nil
		}
		if offset > 0 && beyondEnd(r.SW) {
			break
		}
		if !r.SW.Succeeded() {
			return nil, false, what.refused(r.SW)
		}
		if len(r.Data) == 0 {
			break
		}
		// Blocks differ between cards (32 to 256 bytes): go on where this one ended.
		content = append(content, r.Data...)
	}
	if len(content) < size {
		return nil, false, what.failed(fmt.Errorf("it ended after %d of %d bytes: %w", len(content), size, io.ErrUnexpectedEOF))
	}
	return content[:min(len(content), limit)], false, nil
}

// beyondEnd tells that an offset was at or behind the end of a file; cards differ.
func beyondEnd(sw apdu.SW) bool {
	return sw == apdu.Incompatible || sw == apdu.WrongP1P2 || sw == apdu.WrongOffset
}

// trimDER cuts the zeros behind a DER structure, with which some issuers fill a
// container up. Anything else is left as it is.
func trimDER(b []byte) []byte {
	if len(b) < 2 || b[0] != 0x30 {
		return b
	}
	length, head := int(b[1]), 2
	if n := length & 0x7F; length >= 0x80 {
		if n == 0 || n > 2 || len(b) < 2+n {
			return b
		}
		length, head = 0, 2+n
		for _, x := range b[2:head] {
			length = length<<8 | int(x)
		}
	}
	if end := head + length; end < len(b) && allZero(b[end:]) {
		return b[:end]
	}
	return b
}
