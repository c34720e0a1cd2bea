package dtls

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/simroot/simroot/psktls"
)

// Config is what a client or server needs to know.
type Config struct {
	psktls.Config

	// MTU is the length in bytes of the longest datagram to be sent, without the headers of UDP and
	// IP; zero means [psktls.DefaultMTU]. Handshake messages are cut to fit, application data
	// must fit by itself.
	MTU int

	// ConnectionIDs has connection ids agreed on if the peer knows them (RFC 9146): with them
	// a server knows a client whose address has changed, as it does behind a NAT that
	// forgets a silent client, and a client that moves to another network. A number is the
	// length in bytes of the ids that the peer puts into its records: 1 to
	// [psktls.MaxConnectionID] for a [Listener], where 8 serve any number of peers. [OnlySend]
	// suits a client, whose server does not move. Zero means that ids are not spoken.
	ConnectionIDs int
}

// OnlySend, as Config.ConnectionIDs, puts the peer's connection id into our records and asks for
// none in the peer's.
const OnlySend = -1

const (
	inboxLen = 64 // datagrams that may wait for being taken in
	dataLen  = 64 // datagrams that may wait for Read
	longest  = 1 << 15
)

// Conn is a DTLS connection. The first Read or Write does the handshake, if
// HandshakeContext has not.
type Conn struct {
	send    func([]byte) error
	release func() error // gives the socket back
	pump    func()       // reads the socket, nil if somebody else does
	moved   func(from, to net.Addr)
	local   net.Addr
	remote  *path

	begin  sync.Once
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	inbox  chan datagram
	data   chan []byte

	mu     sync.Mutex
	engine *psktls.DTLS
	routed atomic.Bool // its records have an id, by which a listener finds it anywhere

	handshaken chan struct{}
	ended      chan struct{}
	endOnce    sync.Once
	err        error // readable once ended is closed

	readBy, writeBy *deadline
}

// datagram is one that has come.
type datagram struct {
	from  net.Addr // nil from a socket that has one peer
	bytes []byte
}

// Client lays the client's side over conn, whose Read and Write are datagrams. Closing the
// Conn closes it.
func Client(conn net.Conn, config *Config) (*Conn, error) {
	c, err := newConn(config, true, randomID(config))
	if err != nil {
		return nil, err
	}
	c.local, c.remote = conn.LocalAddr(), newPath(conn.RemoteAddr())
	c.send = func(b []byte) error { _, err := conn.Write(b); return err }
	c.release = conn.Close
	c.pump = func() {
		buf := make([]byte, longest)
		for {
			n, err := conn.Read(buf)
			switch {
			case err == nil:
				c.deliver(datagram{bytes: bytes.Clone(buf[:n])})
			case !errors.Is(err, syscall.ECONNREFUSED): // which anybody can make up, and which may pass
				c.end(err)
				return
			}
		}
	}
	return c, nil
}

// Dial connects to a server and completes the handshake.
func Dial(ctx context.Context, network, address string, config *Config) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c, err := Client(conn, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// newConn has the id that randomID made.
func newConn(config *Config, client bool, id []byte) (*Conn, error) {
	if config == nil {
		config = &Config{} // the engine says what is missing
	}
	if config.ConnectionIDs < OnlySend {
		return nil, fmt.Errorf("%w: ConnectionIDs %d: a length, or OnlySend", psktls.ErrConfig, config.ConnectionIDs)
	}
	engine, err := psktls.NewDTLS(&config.Config, client, psktls.DTLSOptions{MTU: config.MTU, ConnectionID: id})
	if err != nil {
		return nil, err
	}
	c := &Conn{
		engine: engine, inbox: make(chan datagram, inboxLen), data: make(chan []byte, dataLen),
		handshaken: make(chan struct{}), ended: make(chan struct{}),
		readBy: newDeadline(), writeBy: newDeadline(),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// randomID is an id of the length that config says, nil if ids are not spoken. It tells a
// stranger nothing.
func randomID(config *Config) []byte {
	if config == nil || config.ConnectionIDs == 0 {
		return nil
	}
	id := make([]byte, max(0, config.ConnectionIDs))
	rand.Read(id) //nolint:errcheck // never fails
	return id
}

// start sets the connection going.
func (c *Conn) start() {
	c.begin.Do(func() {
		if c.pump != nil {
			go c.pump()
		}
		go c.run()
	})
}

// run takes in datagrams and time until the end.
func (c *Conn) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	err := c.step(func(now time.Time) error { return c.engine.Start(c.ctx, now) })
	for err == nil {
		c.mu.Lock()
		next := c.engine.Deadline()
		c.mu.Unlock()
		var tick <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			tick = timer.C
		}
		select {
		case <-c.ended:
			return
		case d := <-c.inbox:
			err = c.step(func(now time.Time) error { return c.receive(now, d) })
		case <-tick:
			err = c.step(c.engine.Expire)
		}
	}
	c.end(err)
}

// receive takes a datagram in, and follows the peer to where it came from if that is safe
// (RFC 9146, 6). The lock is held.
func (c *Conn) receive(now time.Time, d datagram) error {
	n := len(d.bytes)
	err := c.engine.Receive(c.ctx, now, d.bytes)
	if d.from == nil || !c.engine.Newest() || !c.engine.Complete() {
		return err
	}
	if before, moved := c.remote.received(d.from, n); moved {
		c.moved(before, d.from)
	}
	return err
}

// step has the engine do something, and carries out what follows from it.
func (c *Conn) step(do func(now time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := do(time.Now())
	c.flush() //nolint:errcheck // a datagram that cannot be sent is one that is lost
	for _, b := range c.engine.Incoming() {
		select {
		case c.data <- b:
		default: // nobody reads: it is lost, as with UDP
		}
	}
	if c.engine.Complete() {
		select {
		case <-c.handshaken:
		default:
			c.routed.Store(c.engine.Routed())
			close(c.handshaken)
		}
	}
	return err
}

// flush sends what the engine has to send. The lock is held.
func (c *Conn) flush() (err error) {
	for _, b := range c.engine.Outgoing() {
		if e := c.send(b); e != nil {
			err = e
		}
	}
	return err
}

// deliver hands over a datagram. If too many wait already, it is lost.
func (c *Conn) deliver(d datagram) {
	select {
	case c.inbox <- d:
	default:
	}
}

// end records why the connection is over, and gives the socket back.
func (c *Conn) end(err error) {
	c.endOnce.Do(func() {
		c.err = err
		c.cancel()
		close(c.ended)
		c.release() //nolint:errcheck // nothing follows from it
	})
}

// Handshake is HandshakeContext without a context.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext waits for the handshake, and closes the connection if the context ends
// first.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	c.start()
	select {
	case <-c.handshaken: // also if it has ended since
		return nil
	default:
	}
	select {
	case <-c.handshaken:
		return nil
	case <-c.ended:
		return c.reason()
	case <-ctx.Done():
		c.Close() //nolint:errcheck // the context's end is what matters
		return context.Cause(ctx)
	}
}

// reason is why the connection has ended; a handshake may have been complete before.
func (c *Conn) reason() error {
	if c.err == io.EOF {
		select {
		case <-c.handshaken:
		default:
			return io.ErrUnexpectedEOF
		}
	}
	return c.err
}

// Read reads one datagram. What does not fit in b is lost. After the peer's close_notify it
// returns [io.EOF].
func (c *Conn) Read(b []byte) (int, error) {
	c.start()
	select { // what has come before the end or the deadline is still to be had
	case d := <-c.data:
		return copy(b, d), nil
	default:
	}
	select {
	case d := <-c.data:
		return copy(b, d), nil
	case <-c.readBy.wait():
		return 0, os.ErrDeadlineExceeded
	case <-c.ended:
		select {
		case d := <-c.data:
			return copy(b, d), nil
		default:
			return 0, c.reason()
		}
	}
}

// Write sends b as one datagram. It fails with [psktls.ErrDatagramTooLong] if b does not fit.
func (c *Conn) Write(b []byte) (int, error) {
	c.start()
	select {
	case <-c.handshaken:
	case <-c.writeBy.wait():
		return 0, os.ErrDeadlineExceeded
	case <-c.ended:
		return 0, c.writeReason()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		return 0, c.writeReason()
	default:
	}
	if err := c.engine.Send(b); err != nil {
		return 0, err
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// writeReason is the reason for a writer, to whom the peer's close_notify is not an end of data.
func (c *Conn) writeReason() error {
	if err := c.reason(); err != io.EOF {
		return err
	}
	return net.ErrClosed
}

// Close says close_notify and ends the connection.
func (c *Conn) Close() error {
	c.cancel() // a Key that is at work gives up
	c.mu.Lock()
	select {
	case <-c.ended:
	default:
		c.engine.Close()
		c.flush() //nolint:errcheck // nobody waits for it
	}
	c.mu.Unlock()
	c.end(net.ErrClosed)
	return nil
}

// ConnectionState is the result of the handshake, and zero before it is complete.
func (c *Conn) ConnectionState() psktls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.engine.ConnectionState()
}

// LocalAddr is that of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is that of the peer. With connection ids it may change.
func (c *Conn) RemoteAddr() net.Addr { return c.remote.now() }

// AddressProven tells a server's connection that the peer receives what is sent to RemoteAddr, since
// it has answered something that was sent there: a CoAP message that was acknowledged, for
// instance. After a change of address no more than three times as much is sent as has come, until
// then ([ErrAddressUnproven]).
func (c *Conn) AddressProven() { c.remote.prove() }

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	c.readBy.set(t)
	c.writeBy.set(t)
	return nil
}

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error { c.readBy.set(t); return nil }

// SetWriteDeadline implements [net.Conn]. A Write waits only for the handshake.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.writeBy.set(t); return nil }
