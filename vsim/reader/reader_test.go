package reader

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// sim answers each command with itself and 9000.
type sim struct {
	resets atomic.Int32
	fail   error
}

func (s *sim) Transmit(_ context.Context, command []byte) ([]byte, error) {
	return append(bytes.Clone(command), 0x90, 0x00), s.fail
}
func (s *sim) Reset()      { s.resets.Add(1) }
func (s *sim) ATR() []byte { return []byte{0x3B, 0x00} }

// driver plays vpcd.
type driver struct {
	t        *testing.T
	listener net.Listener
	conn     net.Conn
}

func newDriver(t *testing.T, address string) *driver {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{t: t, listener: l}
	t.Cleanup(d.stop)
	return d
}

func (d *driver) address() string { return d.listener.Addr().String() }

func (d *driver) accept() {
	d.t.Helper()
	conn, err := d.listener.Accept()
	if err != nil {
		d.t.Fatal(err)
	}
	d.conn = conn
}

func (d *driver) stop() {
	_ = d.listener.Close()
	if d.conn != nil {
		_ = d.conn.Close()
	}
}

// send sends a message in two pieces, as vpcd does.
func (d *driver) send(payload ...byte) {
	d.t.Helper()
	var head [2]byte
	binary.BigEndian.PutUint16(head[:], uint16(len(payload)))
	for _, piece := range [][]byte{head[:], payload} {
		if _, err := d.conn.Write(piece); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *driver) want(payload ...byte) {
	d.t.Helper()
	buffer := make([]byte, maxMessage)
	got, err := read(d.conn, buffer)
	if err != nil {
		d.t.Fatal(err)
	}
	if !bytes.Equal(got, payload) {
		d.t.Errorf("the card sent % X: want % X", got, payload)
	}
}

// insertInto runs a card; wait tells how running ended.
func insertInto(t *testing.T, address string, c Powered, report ...func(error)) (cancel func(), wait func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, address, c, report...) }()
	wait = sync.OnceValue(func() error { return <-ended })
	t.Cleanup(func() { cancel(); _ = wait() })
	return cancel, wait
}

func TestCardAnswersTheReader(t *testing.T) {
	d, s := newDriver(t, "127.0.0.1:0"), new(sim)
	cancel, wait := insertInto(t, d.address(), s)
	d.accept()
	d.send(askATR)
	d.want(0x3B, 0x00)
	d.send(powerOn)
	d.send(askATR) // controls have no answer: this is the next one
	d.want(0x3B, 0x00)
	d.send(0x00, 0xA4, 0x00, 0x0C)
	d.want(0x00, 0xA4, 0x00, 0x0C, 0x90, 0x00)
	before := s.resets.Load()
	for _, control := range []byte{powerOff, powerOn, reset} {
		d.send(control)
	}
	d.send(askATR)
	d.want(0x3B, 0x00)
	if got := s.resets.Load() - before; got != 3 {
		t.Errorf("%d resets for three controls", got)
	}
	cancel()
	if err := wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := d.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the card is still in the reader: %v", err)
	}
}

func TestCardReturnsWhenTheReaderDoes(t *testing.T) {
	d, s := newDriver(t, "127.0.0.1:0"), new(sim)
	var mu sync.Mutex
	var heard []bool
	insertInto(t, d.address(), s, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, err == nil)
	})
	d.accept()
	d.send(askATR)
	d.want(0x3B, 0x00)
	address := d.address()
	d.stop()
	again := newDriver(t, address)
	again.accept()
	again.send(askATR)
	again.want(0x3B, 0x00)
	mu.Lock()
	defer mu.Unlock()
	if want := []bool{true, false, true}; len(heard) != 3 || heard[0] != want[0] || heard[1] != want[1] || heard[2] != want[2] {
		t.Errorf("reported %v: want %v", heard, want)
	}
}

func TestCardWaitsForAReaderThatIsNotThereYet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	missing := make(chan struct{})
	var once sync.Once
	insertInto(t, address, new(sim), func(err error) {
		if err != nil {
			once.Do(func() { close(missing) })
		}
	})
	<-missing
	d := newDriver(t, address)
	d.accept()
	d.send(askATR)
	d.want(0x3B, 0x00)
}

func TestReaderThatTalksNonsenseIsLeft(t *testing.T) {
	for _, nonsense := range [][]byte{{0, 0}, {0xFF, 0xFF, 1}, {0, 1, 0x03}, {0, 1, 0xFF}} {
		d := newDriver(t, "127.0.0.1:0")
		insertInto(t, d.address(), new(sim))
		d.accept()
		if _, err := d.conn.Write(nonsense); err != nil {
			t.Fatal(err)
		}
		if n, err := d.conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("% X: the card stays", nonsense)
		}
		_ = d.conn.Close()
		d.accept() // and comes back for better manners
		d.send(askATR)
		d.want(0x3B, 0x00)
	}
}

func TestCardThatFailsIsAnError(t *testing.T) {
	d, s := newDriver(t, "127.0.0.1:0"), &sim{fail: errors.New("the card is gone")}
	_, wait := insertInto(t, d.address(), s)
	d.accept()
	d.send(0x00, 0xA4, 0x00, 0x0C)
	if err := wait(); !errors.Is(err, s.fail) {
		t.Errorf("Run: %v, want %v", err, s.fail)
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte{0, 1, 4, 0, 1, 0, 0, 4, 0, 0xA4, 0, 0})
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 1, 7})
	f.Add([]byte{0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var out bytes.Buffer
		if err := serve(t.Context(), bytes.NewReader(stream), &out, func() {}, new(sim)); err == nil {
			t.Fatal("serving ended without a reason")
		}
		buffer := make([]byte, maxMessage+2)
		for out.Len() > 0 {
			if _, err := read(&out, buffer); err != nil {
				t.Fatalf("answers are out of step: %v", err)
			}
		}
	})
}
