package modem

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// serve joins a modem to one end of a line and returns the other end, and a function
// that hangs up and tells how Serve ended.
func serve(t *testing.T, ctx context.Context, m *Modem) (host net.Conn, end func() error) {
	host, line := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- m.Serve(ctx, line)
		_ = line.Close()
	}()
	return host, func() error {
		_ = host.Close()
		return <-ended
	}
}

func TestLineTakesItsTime(t *testing.T) {
	for name, baud := range map[string]int{"9600": 9600, "115200": 115200} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := with(t, name)
			m.settings.echo = false
			host, end := serve(t, t.Context(), m)
			command := "AT+CSIM=10,\"0070000001\"" + strings.Repeat(" ", 576) + "\r"
			answer := "\r\n+CSIM: 6,\"019000\"\r\n\r\nOK\r\n"
			start := time.Now()
			if _, err := io.WriteString(host, command); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(answer))
			if _, err := io.ReadFull(host, got[:1]); err != nil {
				t.Fatal(err)
			}
			first := time.Since(start)
			if _, err := io.ReadFull(host, got[1:]); err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			bytes := func(n int) time.Duration { return time.Duration(n) * 10 * time.Second / time.Duration(baud) }
			want := bytes(len(command) + len(answer))
			if string(got) != answer || took < want-time.Millisecond || took > want+time.Millisecond {
				t.Errorf("%s: %q after %v: want %v", name, got, took, want)
			}
			if first < bytes(len(command)) || first > bytes(len(command))+20*time.Millisecond {
				t.Errorf("%s: the first byte came after %v", name, first)
			}
			if err := end(); !errors.Is(err, io.EOF) {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

func TestLineWithoutSpeedWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := with(t, "")
		host, end := serve(t, t.Context(), m)
		start := time.Now()
		if _, err := io.WriteString(host, "AT\r"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(host, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		if err := end(); !errors.Is(err, io.EOF) {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestContextEndsASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := with(t, "9600")
		ctx, cancel := context.WithCancel(t.Context())
		host, end := serve(t, ctx, m)
		if _, err := io.WriteString(host, "AT\r"); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := end(); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestCardThatFailsEndsTheLine(t *testing.T) {
	m, s := with(t, "")
	host, end := serve(t, t.Context(), m)
	s.fail = errors.New("the card is gone")
	if _, err := io.WriteString(host, "AT+CCID\r"); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Read(make([]byte, 1)); err == nil {
		t.Error("a card that is gone has answered")
	}
	if err := end(); !errors.Is(err, s.fail) {
		t.Errorf("Serve: %v", err)
	}
}
