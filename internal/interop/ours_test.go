//go:build interop && linux

package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device"

	_ "github.com/simroot/simroot/card/modem"
)

// counting counts the exchanges with a card.
type counting struct {
	card.Conn
	exchanges atomic.Int64
}

func (c *counting) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.exchanges.Add(1)
	return c.Conn.Transmit(ctx, command)
}

// ours does with simroot's own client what wolfSSL's did: the same SIM behind the same
// modem, the same server. It returns how many exchanges with the card it took to start and
// for a handshake, GET RESPONSE included.
func ours(t *testing.T, modem, port string) (start, handshake int) {
	t.Helper()
	conn, err := card.Open(t.Context(), "modem:"+modem)
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{Conn: conn}
	d, err := device.New(t.Context(), c)
	if err != nil {
		conn.Close()
		t.Fatal(err)
	}
	defer d.Close()
	config, err := d.TLSConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start = int(c.exchanges.Load())
	config.MinVersion = tls.VersionTLS13
	session, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	const said = "as wolfSSL did"
	if _, err := session.Write([]byte(said + "\n")); err != nil {
		t.Fatal(err)
	}
	heard, err := bufio.NewReader(session).ReadString('\n')
	if err != nil || strings.TrimSpace(heard) != reversed(said) {
		t.Fatalf("OpenSSL answers %q, %v", heard, err)
	}
	return start, int(c.exchanges.Load()) - start
}
