package trace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/simroot/simroot/card"
)

// ErrDifferent: a command is not the one that the trace has next.
var ErrDifferent = errors.New("the session differs from the trace")

// ErrRecorded: the exchange failed when it was recorded, so it fails again.
var ErrRecorded = errors.New("recorded failure")

func init() {
	card.Register("trace", func(_ context.Context, file string) (card.Conn, error) {
		c, err := Open(file)
		if err != nil {
			return nil, err
		}
		return c, nil
	})
}

// Replay is a recorded session as a card. It is safe for concurrent use, although a
// session with several users seldom goes the same way twice.
type Replay struct {
	card.Turn // for those who need several commands undisturbed; see card.Locker

	busy    card.Turn // guards what follows
	entries []Entry   // a command, then what came of it
	at      int       // of the next command in entries
	mask    masker    // for errors: the command of now may hold secrets too
	closed  bool
}

var (
	_ card.Conn   = (*Replay)(nil)
	_ card.Locker = (*Replay)(nil)
)

// Open reads a trace from a file.
func Open(file string) (*Replay, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", file, err)
	}
	return NewReplay(entries), nil
}

// NewReplay makes a card of what [Read] returned.
func NewReplay(entries []Entry) *Replay {
	return &Replay{Turn: card.NewTurn(), busy: card.NewTurn(), entries: entries}
}

// Transmit answers the next command of the trace with its recorded answer, and fails with
// [ErrDifferent] on any other command, without moving on. Hidden bytes of a recorded
// command match any; hidden bytes of an answer are returned as zeros, since nobody knows
// them any more.
func (r *Replay) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	free, err := r.busy.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	switch {
	case r.closed:
		return nil, os.ErrClosed
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	before := r.mask
	got := hexadecimal(command, r.mask.command(command))
	if r.at+1 >= len(r.entries) {
		r.mask = before
		return nil, fmt.Errorf("%w: it has no more than %d commands; got %s", ErrDifferent, len(r.entries)/2, got)
	}
	want, outcome := r.entries[r.at], r.entries[r.at+1]
	if !want.matches(command) {
		r.mask = before
		return nil, fmt.Errorf("%w at command %d: expected %s, got %s", ErrDifferent, r.at/2+1, want.Hex(), got)
	}
	r.at += 2
	if outcome.Kind == Failure {
		return nil, fmt.Errorf("%w: %s", ErrRecorded, outcome.Text)
	}
	return slices.Clone(outcome.Bytes), nil
}

// matches tells whether a command is the recorded one, as far as that is known.
func (e Entry) matches(command []byte) bool {
	if len(command) != len(e.Bytes) {
		return false
	}
	for i, b := range command {
		if b != e.Bytes[i] && (e.Known == nil || e.Known[i]) {
			return false
		}
	}
	return true
}

// Close implements io.Closer.
func (r *Replay) Close() error {
	free, err := r.busy.Lock(context.Background())
	if err != nil {
		return err
	}
	defer free()
	r.closed = true
	return nil
}
