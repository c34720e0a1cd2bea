package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/internal/platform/store/group"
)

// channel is where a commit announces the number of its last event.
const channel = "simroot_events"

// pollInterval is how often the last event is asked for, in case an announcement was lost.
const pollInterval = time.Second

// listener moves the head as other nodes commit.
type listener struct {
	config *pgx.ConnConfig
	head   *group.Head
}

// run listens until ctx ends, on a new connection after each failure.
func (l *listener) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.listen(ctx) //nolint:errcheck // whatever it was, the next connection may do better
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (l *listener) listen(ctx context.Context) error {
	conn, err := connect(ctx, l.config)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		if err := l.poll(ctx, conn); err != nil {
			return err
		}
		if err := l.wait(ctx, conn); err != nil {
			return err
		}
	}
}

// poll asks for the last event.
func (l *listener) poll(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var seq int64
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(seq), 0) FROM events").Scan(&seq); err != nil {
		return err
	}
	l.head.Reach(seq)
	return nil
}

// wait hears announcements for one interval.
func (l *listener) wait(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			if ctx.Err() != nil && !conn.IsClosed() {
				return nil
			}
			return err
		}
		if seq, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
			l.head.Reach(seq)
		}
	}
}
