package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/simroot/simroot/card"
)

// Record returns c, with everything that passes through it written to w, secrets hidden
// (see the package comment). It is a [card.Locker] if c is one.
//
// A recording that cannot be written does not disturb the session: Close tells of it. Close
// closes c, and not w.
func Record(c card.Conn, w io.Writer) card.Conn {
	return record(&recorder{card: c, w: w})
}

// RecordFile is [Record] to a new file, which only its owner may read, and which is closed
// with the card. An older file of that name is replaced. If it fails, c is closed.
func RecordFile(c card.Conn, name string) (card.Conn, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("record a trace: %w", err), c.Close())
	}
	return record(&recorder{card: c, w: file, file: file}), nil
}

func record(r *recorder) card.Conn {
	r.began, r.busy = time.Now(), card.NewTurn()
	r.write(heading)
	if l, ok := r.card.(card.Locker); ok {
		return lockingRecorder{r, l}
	}
	return r
}

type recorder struct {
	card  card.Conn
	file  io.Closer // to be closed with the card, if any
	began time.Time

	busy  card.Turn // one exchange at a time; guards what follows
	w     io.Writer
	mask  masker
	wrong error // of the first write that failed
}

type lockingRecorder struct {
	*recorder
	card.Locker
}

// Transmit implements card.Card.
func (r *recorder) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	free, err := r.busy.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	r.entry(Command, hexadecimal(command, r.mask.command(command)))
	answer, err := r.card.Transmit(ctx, command)
	if err != nil {
		r.entry(Failure, "failed: "+strings.Join(strings.Fields(err.Error()), " ")) // on one line
		return answer, err
	}
	r.entry(Answer, hexadecimal(answer, r.mask.answer(command, answer)))
	return answer, nil
}

// Close closes the card, and the file if it is ours.
func (r *recorder) Close() error {
	err := r.card.Close()
	free, _ := r.busy.Lock(context.Background())
	defer free()
	if r.file != nil {
		if wrong := r.file.Close(); r.wrong == nil {
			r.wrong = wrong
		}
		r.file = nil
	}
	if r.wrong != nil {
		err = errors.Join(err, fmt.Errorf("the trace is not complete: %w", r.wrong))
	}
	return err
}

func (r *recorder) entry(kind Kind, what string) {
	r.write(fmt.Sprintf("%.6f %c %s", time.Since(r.began).Seconds(), kind, what))
}

func (r *recorder) write(line string) {
	if r.wrong == nil {
		_, r.wrong = io.WriteString(r.w, line+"\n")
	}
}
