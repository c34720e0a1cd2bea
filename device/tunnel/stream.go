package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// streams carries TCP connections into TLS.
type streams struct {
	way
	local *net.TCPListener
}

func listenStreams(w way, address string) (*streams, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &streams{w, l.(*net.TCPListener)}, nil
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
			s.refuse(client, errTooMany)
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

var errTooMany = errors.New("too many connections stand already")

// carry takes one client to the server. A connection is made only before starting ends, and cut
// when living does.
func (s *streams) carry(starting, living context.Context, client *net.TCPConn) {
	defer client.Close()
	bounded, cancel := context.WithTimeout(starting, s.Patience)
	certificate := s.streamWithCertificate
	if s.AllInSIM {
		certificate = s.streamAllInSIM
	}
	server, err := connect(bounded, &s.way, certificate, s.streamWithPSK)
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
	if living.Err() != nil {
		err = nil // it was cut, which has been said
	}
	if err != nil {
		err = s.judge(err) // in TLS 1.3 the server's no comes after the handshake
	}
	s.ended(connectionEnded, err, "client", client.RemoteAddr(), "after", time.Since(began).Round(time.Millisecond))
}

// refuse ends a client's connection at once, in a way that it cannot take for a proper end.
func (s *streams) refuse(client *net.TCPConn, why error) {
	s.ended(connectionRefused, why, "client", client.RemoteAddr())
	_ = client.SetLinger(0) // RST
	_ = client.Close()
}

// verdictTime is how long a server that takes nothing more may take to say why.
const verdictTime = time.Second

// join copies both ways until both have ended. The end of one way is passed on, and the
// other goes on.
func join(client *net.TCPConn, server stream) error {
	up, down := make(chan error, 1), make(chan error, 1)
	go func() { up <- pass(server, client) }()
	go func() { down <- pass(client, server) }()
	var err error
	select {
	case err = <-up:
		if err != nil {
			// A server that refuses the SIM tells whoever reads; the writer sees a broken line.
			_ = server.SetReadDeadline(time.Now().Add(verdictTime))
			if said := <-down; refuses(said) {
				err = said
			}
			cut(client, server)
			return err
		}
		if err = <-down; err != nil {
			cut(client, server)
		}
	case err = <-down:
		if err != nil {
			cut(client, server)
			<-up
			return err
		}
		if err = <-up; err != nil {
			cut(client, server)
		}
	}
	return err
}

// cut ends what broke. Half of a connection is of no use, and the client must not take what it
// got for all there was.
func cut(client *net.TCPConn, server stream) {
	_ = client.SetLinger(0) // RST
	client.Close()
	server.Close()
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
