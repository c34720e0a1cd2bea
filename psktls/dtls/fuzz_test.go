package dtls_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/simroot/simroot/psktls/dtls"
)

// FuzzListener gives a listener any datagrams from a stranger: it must live on, and begin nothing with one
// that has no cookie.
func FuzzListener(f *testing.F) {
	f.Add([]byte{22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, false)
	f.Add([]byte{25, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 1}, true)
	f.Fuzz(func(t *testing.T, datagram []byte, ids bool) {
		synctest.Test(t, func(t *testing.T) { served(t, datagram, ids) })
	})
}

func served(t *testing.T, datagram []byte, ids bool) {
	near, far := newLine(func() bool { return false })
	config := serverConfig()
	if ids {
		config.ConnectionIDs = 8
	}
	l, err := dtls.Listen(far, config)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := near.Write(bytes.Clone(datagram)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	for len(near.in) > 0 {
		<-near.in // the stranger's answers
	}
	c, err := dtls.Client(near, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Handshake(); err != nil { // it comes after them, and is served
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	says(t, c, s, "served")
	c.Close()
	l.Close()
}
