package psktls

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a TLS connection. It is a [net.Conn]: Read and Write may be called at the same
// time, deadlines bound them, and the first of them does the handshake if
// [Conn.HandshakeContext] has not.
//
// A Write that times out leaves a torn record behind: after it every Write fails. A Read
// that times out may be repeated.
type Conn struct {
	conn   net.Conn
	client bool
	config *Config

	handshakeMu  sync.Mutex
	handshakeErr error
	handshaken   atomic.Bool // everything below it is set
	state        ConnectionState
	suite        *suite

	in struct {
		sync.Mutex
		recordReader
		hand        []byte // handshake messages, not yet consumed
		plain       []byte // application data, not yet consumed
		idle        int    // records since something moved forward
		tolerateCCS bool   // TLS 1.3's change_cipher_spec for middleboxes may come
		err         error  // why nothing more can be read
	}
	out struct {
		sync.Mutex
		*protection
		buf []byte // records to be written
		err error  // why nothing more can be written
	}
	oweUpdate atomic.Bool // the peer has asked for a KeyUpdate of ours
}

// Client lays the client's side of TLS over conn. The handshake comes with the first use,
// or with [Conn.HandshakeContext].
func Client(conn net.Conn, config *Config) *Conn { return newConn(conn, config, true) }

// Server lays the server's side of TLS over conn.
func Server(conn net.Conn, config *Config) *Conn { return newConn(conn, config, false) }

func newConn(conn net.Conn, config *Config, client bool) *Conn {
	c := &Conn{conn: conn, config: config, client: client}
	c.in.conn = conn
	c.in.protection = &protection{}
	c.out.protection = &protection{}
	return c
}

// Dial connects to a server and completes the handshake.
func Dial(ctx context.Context, network, address string, config *Config) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// NewListener makes a server of every connection that l accepts. The handshake comes with
// the connection's first use.
func NewListener(l net.Listener, config *Config) net.Listener { return &listener{l, config} }

type listener struct {
	net.Listener
	config *Config
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Server(conn, l.config), nil
}

// Handshake is HandshakeContext without a context.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext does the handshake if it is not done. The context goes to the Key, and
// ends the connection if it ends during the handshake. A handshake that failed is not
// repeated: the error stays.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	if c.handshaken.Load() {
		return nil
	}
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	if c.handshakeErr != nil || c.handshaken.Load() {
		return c.handshakeErr
	}
	c.in.Lock()
	defer c.in.Unlock()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	err := c.handshake(ctx)
	if err != nil {
		c.abort(err)
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.handshakeErr = err
		c.in.err = err
		return err
	}
	c.handshaken.Store(true)
	return nil
}

func (c *Conn) handshake(ctx context.Context) error {
	set, err := c.config.settle(c.client)
	if err != nil {
		return err // nothing was said yet, so nobody needs to be told
	}
	h := &handshake{Conn: c, ctx: ctx, set: set}
	if c.client {
		return h.asClient()
	}
	return h.asServer()
}

// abort tells the peer of an error of ours, if the way is free, and closes the
// connection for further use. It is called with the lock on in.
func (c *Conn) abort(err error) {
	c.in.err = err
	// A Write that is under way may be stuck for as long as the peer likes; then the
	// alert is not worth waiting for.
	if !c.out.TryLock() {
		return
	}
	defer c.out.Unlock()
	if c.out.err != nil {
		return
	}
	var alert *AlertError
	if errors.As(err, &alert) && !alert.Remote {
		c.conn.SetWriteDeadline(time.Now().Add(alertPatience))                 //nolint:errcheck // the write will tell
		c.writeRecord(recordAlert, []byte{alertLevelFatal, byte(alert.Alert)}) //nolint:errcheck // best effort: the connection is lost anyway
		c.flush()                                                              //nolint:errcheck // likewise
	}
	c.out.err = err
}

// alertPatience is how long a last alert may take.
const alertPatience = 5 * time.Second

// Read reads application data. After the peer's close_notify it returns [io.EOF]; if the
// connection ends without one, [io.ErrUnexpectedEOF].
func (c *Conn) Read(b []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, nil
	}
	c.in.Lock()
	defer c.in.Unlock()
	for len(c.in.plain) == 0 {
		if c.in.err != nil {
			return 0, c.in.err
		}
		if err := c.readMore(); err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				c.endInput(err)
			}
			return 0, err
		}
	}
	n := copy(b, c.in.plain)
	c.in.plain = c.in.plain[n:]
	return n, nil
}

// endInput records why nothing more can be read. What may still be written depends on it.
func (c *Conn) endInput(err error) {
	if err == io.EOF { // close_notify: the other direction may go on
		c.in.err = err
		return
	}
	c.abort(err)
}

// readMore reads a record and what it takes to understand it.
func (c *Conn) readMore() error {
	if err := c.pull(); err != nil {
		return err
	}
	for c.completeMessage() {
		raw, err := c.readHandshake()
		if err != nil {
			return err
		}
		if err := c.afterHandshake(raw); err != nil {
			return err
		}
	}
	return nil
}

// Write writes application data.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.out.err != nil {
		return 0, c.out.err
	}
	written := 0
	for len(b) > 0 {
		if c.oweUpdate.CompareAndSwap(true, false) || c.out.version == VersionTLS13 && c.out.seq >= rekeyAfter {
			if err := c.updateOut(false); err != nil {
				return written, err
			}
		}
		n := min(len(b), maxPlaintext)
		if err := c.writeRecord(recordApplicationData, b[:n]); err != nil {
			return written, err
		}
		if err := c.flush(); err != nil {
			return written, err
		}
		written, b = written+n, b[n:]
	}
	return written, nil
}

// writeRecord puts a record into the buffer. The lock on out is held.
func (c *Conn) writeRecord(kind uint8, content []byte) (err error) {
	if c.out.err != nil {
		return c.out.err
	}
	if need := len(c.out.buf) + len(content) + c.out.overhead(); need > cap(c.out.buf) {
		grown := make([]byte, len(c.out.buf), max(need, firstBuffer/2))
		copy(grown, c.out.buf)
		c.out.buf = grown
	}
	c.out.buf, err = c.out.seal(c.out.buf, kind, content)
	return err
}

// flush writes the buffer out. The lock on out is held.
func (c *Conn) flush() error {
	if len(c.out.buf) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out.buf)
	c.out.buf = c.out.buf[:0]
	if err != nil {
		c.out.err = err
	}
	return err
}

// CloseWrite says close_notify: the peer's Read ends with io.EOF, while it may still write.
func (c *Conn) CloseWrite() error {
	if !c.handshaken.Load() {
		return errors.New("psktls: CloseWrite before the handshake is complete")
	}
	c.out.Lock()
	defer c.out.Unlock()
	return c.closeNotify()
}

// closeNotify says close_notify once. The lock on out is held.
func (c *Conn) closeNotify() error {
	if c.out.err != nil {
		if errors.Is(c.out.err, errOutClosed) {
			return nil
		}
		return c.out.err
	}
	err := c.writeRecord(recordAlert, []byte{alertLevelWarning, byte(AlertCloseNotify)})
	if err == nil {
		err = c.flush()
	}
	if err == nil {
		c.out.err = errOutClosed
	}
	return err
}

// errOutClosed is why nothing can be written after Close or CloseWrite.
var errOutClosed = &net.OpError{Op: "write", Net: "tls", Err: net.ErrClosed}

// Close says close_notify, if the way is free, and closes the connection under it. Reads and
// writes that are under way end.
func (c *Conn) Close() error {
	if c.handshaken.Load() && c.out.TryLock() {
		c.conn.SetWriteDeadline(time.Now().Add(alertPatience)) //nolint:errcheck // the write will tell
		c.closeNotify()                                        //nolint:errcheck // the peer may be gone, which is no fault of Close
		c.out.err = errOutClosed
		c.out.Unlock()
	}
	return c.conn.Close()
}

// NetConn is the connection under TLS. Reading or writing it breaks this one.
func (c *Conn) NetConn() net.Conn { return c.conn }

// LocalAddr is that of the connection under TLS.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr is that of the connection under TLS.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }
