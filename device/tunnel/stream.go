package tunnel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// stream is a connection of which either direction can end alone.
type stream interface {
	net.Conn
	CloseWrite() error
}

// streams carries TCP connections into TLS.
type streams struct {
	Options
	forward Forward
	local   *net.TCPListener
	slots   chan struct{} // holds one entry for each connection that stands
	log     *slog.Logger
}

func listenStreams(f Forward, o Options, slots chan struct{}) (*streams, error) {
	l, err := net.Listen("tcp", f.Local)
	if err != nil {
		return nil, err
	}
	return &streams{Options: o, forward: f, local: l.(*net.TCPListener), slots: slots, log: o.Log.With("forward", f.String())}, nil
}

func (s *streams) addr() net.Addr { return s.local.Addr() }

func (s *streams) close() error { return s.local.Close() }

// acceptPause is how long accepting rests when the process has run out of something.
const acceptPause = 100 * time.Millisecond

func (s *streams) serve(ctx context.Context) {
	// Connections live on for a while after ctx has ended.
	living, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var wg sync.WaitGroup
	for {
		client, err := s.local.AcceptTCP()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				break
			}
			s.log.Warn("no connection can be accepted for a moment", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-s.slots }()
				s.carry(ctx, living, client)
			})
		default:
			s.refuse(client, errors.New("too many connections stand already"))
		}
	}
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(s.Grace):
		s.log.Info("cutting the connections that have not ended")
		cut()
		<-ended
	}
}

// carry takes one client to the server. A connection is made only before starting ends, and cut
// when living does.
func (s *streams) carry(starting, living context.Context, client *net.TCPConn) {
	defer client.Close()
	bounded, cancel := context.WithTimeout(starting, s.Patience)
	server, err := s.connect(bounded)
	cancel()
	if err != nil {
		s.refuse(client, err)
		return
	}
	defer server.Close()
	began := time.Now()
	s.log.Debug("connected", "client", client.RemoteAddr(), "server", server.RemoteAddr())
	stop := context.AfterFunc(living, func() {
		_ = client.SetLinger(0) // RST: this is no proper end either
		client.Close()
		server.Close()
	})
	defer stop()
	err = join(client, server)
	level := slog.LevelDebug
	if err != nil && living.Err() == nil {
		level = slog.LevelInfo
	}
	s.log.Log(living, level, "connection ended", "client", client.RemoteAddr(), "after", time.Since(began).Round(time.Millisecond), "error", err)
}

// refuse ends a client's connection at once, in a way that it cannot take for a proper end.
func (s *streams) refuse(client *net.TCPConn, why error) {
	s.log.Warn("connection refused", "client", client.RemoteAddr(), "error", why)
	_ = client.SetLinger(0) // RST
	_ = client.Close()
}

// join copies both ways until both have ended. The end of one way is passed on, and the
// other goes on.
func join(client *net.TCPConn, server stream) error {
	ways := make(chan error, 2)
	go func() { ways <- pass(server, client) }()
	go func() { ways <- pass(client, server) }()
	err := <-ways
	if err != nil {
		// Half of a connection that broke is of no use, and the client must not take what it
		// got for all there was.
		_ = client.SetLinger(0) // RST
		client.Close()
		server.Close()
		<-ways
		return err
	}
	return <-ways
}

func pass(to, from stream) error {
	_, err := io.Copy(to, from)
	if err != nil {
		return err
	}
	err = to.CloseWrite()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.EPIPE) {
		return nil // it has ended by itself already
	}
	return err
}
