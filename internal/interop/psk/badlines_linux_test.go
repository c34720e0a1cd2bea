package psk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// bad is a cable that loses a tenth of what is written, sends another tenth twice and a third
// one after the next.
func bad(c *cable, seed uint64) *cable {
	c.spoil = realparts.NewSpoiler(0.1, seed)
	return c
}

func TestPionOverALineThatLosesDoublesAndReorders(t *testing.T) {
	for seed := range uint64(40) {
		for name, handshake := range map[string]func(context.Context, place, *cable, *cable, uint16) (net.Conn, net.Conn, error){
			"server": ourClientPionServer, "client": pionClientOurServer,
		} {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					near, far := newCable()
					defer near.Close()
					defer far.Close()
					c, s, err := handshake(t.Context(), place{"memory", psktls.SecretKey(psk)}, bad(near, seed), bad(far, seed+1000), pionSuites[0].id)
					if err != nil {
						t.Fatal(err)
					}
					near.spoil.Mend()
					far.spoil.Mend()
					echo(t, c, s)
					c.Close()
					s.Close()
				})
			})
		}
	}
}

func TestOpenSSLOverALineThatLosesDoublesAndReorders(t *testing.T) {
	const suite, name = psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-PSK-CHACHA20-POLY1305"
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("server/%d", seed), func(t *testing.T) {
			t.Parallel()
			p, addr := opensslServer(t, opensslDTLS(name)...)
			server, err := net.ResolveUDPAddr("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			n := realparts.NewNAT(t, server)
			n.Spoil(0.1, seed)
			c, err := dialDTLS(t, n.Inside.String(), onlyDTLS(clientConfig(), suite, 0))
			if err != nil {
				t.Fatal(err)
			}
			n.Spoil(0, 0)
			datagrams(t, c, p)
		})
		t.Run(fmt.Sprintf("client/%d", seed), func(t *testing.T) {
			t.Parallel()
			l := listenDTLS(t, onlyDTLS(serverConfig(), suite, 0))
			n := realparts.NewNAT(t, l.Addr())
			n.Spoil(0.1, seed)
			p := realparts.StartTyped(t, "openssl", append([]string{"s_client", "-connect", n.Inside.String()}, opensslDTLS(name)...)...)
			c := acceptDTLS(t, l)
			p.WaitLog("Cipher is " + name) // it may still be without our last flight
			n.Spoil(0, 0)
			datagrams(t, c, p)
		})
	}
}

func TestForeignDTLSStacksGetNowhereWithAWrongKeyOrUnknownIdentity(t *testing.T) {
	const suite = psktls.TLS_PSK_WITH_AES_128_GCM_SHA256
	wrongKey, stranger := clientConfig(), clientConfig()
	wrongKey.Key = psktls.SecretKey([]byte("not the key at all"))
	stranger.Identity = []byte("a stranger")
	known := func(identity []byte) ([]byte, error) {
		if string(identity) != string(wrongKey.Identity) {
			return nil, errors.New("unknown")
		}
		return psk, nil
	}
	for name, config := range map[string]*psktls.Config{"wrong key": wrongKey, "unknown identity": stranger} {
		t.Run("pion's server, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := newCable()
				defer near.Close()
				defer far.Close()
				s, err := pionServer(far, far.RemoteAddr(), suite, known, nil)
				if err != nil {
					t.Fatal(err)
				}
				c, err := dtls.Client(near, onlyDTLS(config, suite, 0))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.HandshakeContext(ctx) }()
				err = c.Handshake()
				var alert *psktls.AlertError
				if !errors.Is(err, psktls.ErrDTLSTimeout) && !(errors.As(err, &alert) && alert.Remote) {
					t.Errorf("our client: %v", err)
				}
				cancel()
				far.Close() // pion's context ends no read of a cable
				if err := <-done; err == nil {
					t.Error("pion's server is content")
				}
				s.Close()
				c.Close()
			})
		})
	}
	for name, key := range map[string]psktls.Key{"wrong key": wrongKey.Key, "unknown identity": nil} {
		t.Run("pion's client, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := newCable()
				defer near.Close()
				defer far.Close()
				config := serverConfig()
				config.GetKey = func(context.Context, []byte) (psktls.Key, error) { return key, nil }
				l, err := dtls.Listen(far, onlyDTLS(config, suite, 0))
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				c, err := pionClient(near, near.RemoteAddr(), suite, pionHas, nil)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- c.HandshakeContext(ctx) }()
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				s := conn.(*dtls.Conn)
				err = s.Handshake()
				if !errors.Is(err, psktls.ErrDTLSTimeout) || errors.Is(err, psktls.ErrUnknownIdentity) != (key == nil) {
					t.Errorf("our server: %v", err)
				}
				cancel()
				near.Close()
				if err := <-done; err == nil {
					t.Error("pion's client is content")
				}
				c.Close()
			})
		})
	}
}
