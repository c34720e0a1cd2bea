package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	r := &recorder{card: c, w: w, began: time.Now(), busy: card.NewTurn()}
	r.write(heading)
	if l, ok := c.(card.Locker); ok {
		return lockingRecorder{r, l}
	}
	return r
}

type recorder struct {
	card  card.Conn
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

// Close closes the card.
func (r *recorder) Close() error {
	err := r.card.Close()
	free, _ := r.busy.Lock(context.Background())
	defer free()
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
