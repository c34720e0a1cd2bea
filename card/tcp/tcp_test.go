package tcp_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/tcp"
)

// mirror is a card that answers each command with itself and 9000, counts resets, and
// waits on command FF until it is told.
type mirror struct {
	card.Turn
	mu       sync.Mutex
	resets   int
	commands [][]byte
	reached  chan struct{}
	fail     error
}

func newMirror() *mirror { return &mirror{Turn: card.NewTurn(), reached: make(chan struct{})} }

func (m *mirror) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	m.mu.Lock()
	m.commands = append(m.commands, bytes.Clone(command))
	err := m.fail
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if command[0] == 0xFF {
		close(m.reached)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return append(bytes.Clone(command), 0x90, 0x00), nil
}

func (m *mirror) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resets++
}

// serve offers a card and returns its address; wait tells how serving ended.
func serve(t *testing.T, ctx context.Context, c card.Card) (address string, wait func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- tcp.Serve(ctx, l, c) }()
	wait = sync.OnceValue(func() error { return <-ended })
	t.Cleanup(func() { cancel(); _ = wait() })
	return l.Addr().String(), wait
}

func open(t *testing.T, address string) card.Conn {
	t.Helper()
	c, err := card.Open(t.Context(), "tcp:"+address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCommandsAndAnswersPass(t *testing.T) {
	address, _ := serve(t, t.Context(), newMirror())
	c := open(t, address)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			command := bytes.Repeat([]byte{byte(i)}, 5+30*i)
			answer, err := c.Transmit(t.Context(), command)
			if err != nil || !bytes.Equal(answer, append(command, 0x90, 0x00)) {
				t.Errorf("command %d: %X, %v", i, answer, err)
			}
		})
	}
	all.Wait()
}

func TestEachClientFindsAFreshlyPoweredCard(t *testing.T) {
	m := newMirror()
	address, _ := serve(t, t.Context(), m)
	for client := 1; client <= 3; client++ {
		c := open(t, address)
		if _, err := c.Transmit(t.Context(), []byte{0, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		m.mu.Lock()
		if want := 2*client - 1; m.resets != want { // one before each, one after each that left
			t.Errorf("client %d: %d resets, want %d", client, m.resets, want)
		}
		m.mu.Unlock()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneClientHasTheCardAtATime(t *testing.T) {
	m := newMirror()
	address, _ := serve(t, t.Context(), m)
	first, second := open(t, address), open(t, address)
	if _, err := first.Transmit(t.Context(), []byte{1, 1, 1, 1}); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := second.Transmit(t.Context(), []byte{2, 2, 2, 2})
		answered <- err
	}()
	if _, err := first.Transmit(t.Context(), []byte{1, 1, 1, 2}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.commands) != 3 || m.commands[2][0] != 2 {
		t.Errorf("the card saw % X", m.commands)
	}
	if _, err := card.Open(t.Context(), "tcp:"); err == nil {
		t.Error("a card without an address was opened")
	}
}

func TestCardIsLockedWhileAClientHasIt(t *testing.T) {
	m := newMirror()
	address, _ := serve(t, t.Context(), m)
	c := open(t, address)
	if _, err := c.Transmit(t.Context(), []byte{0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Lock(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the card was free: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	unlock, err := m.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestContextEndsAnExchange(t *testing.T) {
	m := newMirror()
	address, _ := serve(t, t.Context(), m)
	c := open(t, address)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-m.reached; cancel() }()
	if _, err := c.Transmit(ctx, []byte{0xFF, 0, 0, 0}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v: want context.Canceled", err)
	}
	if _, err := c.Transmit(t.Context(), []byte{0, 0, 0, 0}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a later command: %v, want an error of its own", err)
	}
}

func TestEndedContextSendsNothingAndHarmsNothing(t *testing.T) {
	m := newMirror()
	address, _ := serve(t, t.Context(), m)
	c := open(t, address)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Transmit(ended, []byte{0, 0, 0, 0}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v: want context.Canceled", err)
	}
	if _, err := c.Transmit(t.Context(), []byte{0, 0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	if len(m.commands) != 1 {
		t.Errorf("the card saw % X", m.commands)
	}
}

func TestServerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address, wait := serve(t, ctx, newMirror())
	c := open(t, address)
	if _, err := c.Transmit(t.Context(), []byte{0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := c.Transmit(t.Context(), []byte{0, 0, 0, 0}); err == nil {
		t.Error("a card that is gone has answered")
	}
}

func TestServerEndsWithItsCard(t *testing.T) {
	m := newMirror()
	m.fail = errors.New("the card is gone")
	address, wait := serve(t, t.Context(), m)
	if _, err := open(t, address).Transmit(t.Context(), []byte{0, 0, 0, 0}); err == nil {
		t.Error("a card that is gone has answered")
	}
	if err := wait(); !errors.Is(err, m.fail) {
		t.Errorf("Serve: %v, want %v", err, m.fail)
	}
}

func TestClientThatTalksNonsenseIsDismissed(t *testing.T) {
	m := newMirror()
	address, _ := serve(t, t.Context(), m)
	for _, nonsense := range [][]byte{{0, 0}, {0xFF, 0xFF, 1, 2, 3}, {0x00}, {0x00, 0x05, 1}} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(nonsense); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("% X: %d bytes of answer", nonsense, n)
		}
		_ = conn.Close()
	}
	if _, err := open(t, address).Transmit(t.Context(), []byte{0, 0, 0, 0}); err != nil {
		t.Errorf("the next client: %v", err)
	}
	if len(m.commands) != 1 {
		t.Errorf("the card saw % X", m.commands)
	}
}

func TestServerThatTalksNonsenseIsAnError(t *testing.T) {
	for _, nonsense := range [][]byte{{0, 0}, {0xFF, 0xFF, 1}, {0, 9, 1}, {}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 64))
			_, _ = conn.Write(nonsense)
		}()
		if answer, err := open(t, l.Addr().String()).Transmit(t.Context(), []byte{0, 0, 0, 0}); err == nil {
			t.Errorf("% X was taken for the answer %X", nonsense, answer)
		}
		_ = l.Close()
	}
}

func TestClosedCardSaysSo(t *testing.T) {
	address, _ := serve(t, t.Context(), newMirror())
	c := open(t, address)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := c.Transmit(t.Context(), []byte{0, 0, 0, 0}); err == nil {
		t.Error("a closed card has answered")
	}
}

func BenchmarkTransmit(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = tcp.Serve(ctx, l, quiet{}) }()
	c, err := tcp.Dial(b.Context(), l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	command := make([]byte, 100)
	for b.Loop() {
		if _, err := c.Transmit(b.Context(), command); err != nil {
			b.Fatal(err)
		}
	}
	_ = c.Close()
	cancel()
	<-ended
}

type quiet struct{}

func (quiet) Transmit(context.Context, []byte) ([]byte, error) { return []byte{0x90, 0x00}, nil }
