package psk

import (
	"context"
	"fmt"
	"net"
	"testing"

	pion "github.com/pion/dtls/v3"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// idLengths are lengths of connection ids, ours and the peer's.
var idLengths = [][2]int{{dtls.OnlySend, 8}, {4, 8}, {8, 0}, {psktls.MaxConnectionID, 1}}

func TestConnectionIDsWithPion(t *testing.T) {
	for _, suite := range pionSuites {
		for _, length := range idLengths {
			t.Run(fmt.Sprintf("%s/ours %d, its %d", psktls.CipherSuiteName(suite.id), length[0], length[1]), func(t *testing.T) {
				t.Run("server", func(t *testing.T) {
					near, far := newCable()
					s, err := pionServer(far, far.RemoteAddr(), suite.id, pionHas, pion.RandomCIDGenerator(length[1]))
					if err != nil {
						t.Fatal(err)
					}
					c, err := dtls.Client(near, withIDs(onlyDTLS(clientConfig(), suite.id, 0), length[0]))
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					defer s.Close()
					ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
					defer cancel()
					if err := together(ctx, c, s); err != nil {
						t.Fatal(err)
					}
					if !c.ConnectionState().ConnectionIDs {
						t.Error("none were agreed on")
					}
					echo(t, c, s)
				})
				t.Run("client", func(t *testing.T) {
					near, far := newCable()
					l, err := dtls.Listen(far, withIDs(onlyDTLS(serverConfig(), suite.id, 0), length[0]))
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
					p, err := pionClient(near, near.RemoteAddr(), suite.id, pionHas, pion.RandomCIDGenerator(length[1]))
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
					defer cancel()
					c, s, err := finish(ctx, p, l)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if !s.(listening).Conn.(*dtls.Conn).ConnectionState().ConnectionIDs {
						t.Error("none were agreed on")
					}
					echo(t, c, s)
				})
			})
		}
	}
}

func withIDs(c *dtls.Config, length int) *dtls.Config {
	c.ConnectionIDs = length
	return c
}

func TestOurClientMovesAndPionsServerFollows(t *testing.T) {
	const suite = psktls.TLS_PSK_WITH_AES_128_CCM_8
	var options []pion.ServerOption
	for _, o := range pionOptions(suite, pionHas, pion.RandomCIDGenerator(8)) {
		options = append(options, o)
	}
	l, err := pion.ListenWithOptions("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type accepted struct {
		conn net.Conn
		err  error
	}
	done := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.(*pion.Conn).HandshakeContext(t.Context())
		}
		done <- accepted{c, err}
	}()
	n := realparts.NewNAT(t, l.Addr())
	c, err := dialDTLS(t, n.Inside.String(), withIDs(onlyDTLS(clientConfig(), suite, 0), 4))
	if err != nil {
		t.Fatal(err)
	}
	s := <-done
	if s.err != nil {
		t.Fatal(s.err)
	}
	defer s.conn.Close()
	echo(t, c, s.conn)
	n.Forget(realparts.UDP(t))
	echo(t, c, s.conn)
}

func TestPionsClientMovesAndOurServerFollows(t *testing.T) {
	const suite = psktls.TLS_PSK_WITH_AES_128_CCM_8
	l := listenDTLS(t, withIDs(onlyDTLS(serverConfig(), suite, 0), 8))
	n := realparts.NewNAT(t, l.Addr())
	c, err := pionClient(realparts.UDP(t), n.Inside, suite, pionHas, pion.OnlySendCIDGenerator())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	s := acceptDTLS(t, l)
	echo(t, c, s)
	elsewhere := realparts.UDP(t)
	n.Forget(elsewhere)
	echo(t, c, s)
	if s.RemoteAddr().String() != elsewhere.LocalAddr().String() {
		t.Errorf("it is at %v for us", s.RemoteAddr())
	}
}
