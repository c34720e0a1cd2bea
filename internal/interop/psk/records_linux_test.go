package psk

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

// meddler sits under a connection of ours and alters pairs of records, one way, once it is on.
type meddler struct {
	net.Conn
	what    func(records [][]byte) []byte // of two records
	in, out atomic.Bool                   // on, for what comes in and what goes out
	reading []byte                        // altered, not yet read
	torn    bool
	waiting [][]byte // a record to go out that waits for a second one
}

func (m *meddler) Read(b []byte) (int, error) {
	if !m.in.Load() {
		return m.Conn.Read(b)
	}
	if len(m.reading) == 0 && !m.torn {
		var two [][]byte
		for range 2 {
			record := make([]byte, 5, 5+1<<14)
			if _, err := io.ReadFull(m.Conn, record); err != nil {
				return 0, err
			}
			record = record[:5+int(binary.BigEndian.Uint16(record[3:]))]
			if _, err := io.ReadFull(m.Conn, record[5:]); err != nil {
				return 0, err
			}
			two = append(two, record)
		}
		m.reading = m.what(two)
		m.torn = len(m.reading) < len(two[0]) // nothing comes after that
	}
	n := copy(b, m.reading)
	m.reading = m.reading[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (m *meddler) Write(record []byte) (int, error) {
	if !m.out.Load() || record[0] != 23 {
		return m.Conn.Write(record)
	}
	if m.waiting = append(m.waiting, slices.Clone(record)); len(m.waiting) < 2 {
		return len(record), nil
	}
	altered := m.what(m.waiting)
	if _, err := m.Conn.Write(altered); err != nil {
		return 0, err
	}
	if len(altered) < len(record) {
		return len(record), m.Conn.(*net.TCPConn).CloseWrite()
	}
	return len(record), nil
}

func swapped(two [][]byte) []byte { return slices.Concat(two[1], two[0]) }

func torn(two [][]byte) []byte { return two[0][:len(two[0])-1] }

// meddled is a connection to OpenSSL's client over a meddler.
func meddled(t *testing.T, version string, what func([][]byte) []byte) (*meddler, *psktls.Conn, *realparts.Typed) {
	t.Helper()
	var m *meddler
	s := listen(t, serverConfig(), func(conn net.Conn) net.Conn { m = &meddler{Conn: conn, what: what}; return m })
	p := realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, version)
	c := s.conn(t)
	p.WaitLog("---\n") // it has read what belongs to the handshake
	return m, c, p
}

func TestReorderedRecordsAreNoticedByOpenSSLAndByUs(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		m, c, _ := meddled(t, version, swapped)
		m.out.Store(true)
		for range 2 {
			if _, err := io.WriteString(c, "one of two\n"); err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.Read(make([]byte, 1))
		wantAlert(t, err, psktls.AlertBadRecordMAC, true)

		m, c, p := meddled(t, version, swapped)
		m.in.Store(true)
		p.Says("one\n")
		p.Says("two\n")
		_, err = c.Read(make([]byte, 10))
		wantAlert(t, err, psktls.AlertBadRecordMAC, false)
		p.WaitLog("alert bad record mac")
	}
}

func TestATornRecordIsNoEndInGoodOrderForOpenSSLNorForUs(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		m, c, p := meddled(t, version, torn)
		m.out.Store(true)
		for range 2 {
			io.WriteString(c, "one of two\n") //nolint:errcheck // the second may find the line closed
		}
		if code := p.Wait(); code == 0 {
			t.Error("OpenSSL takes it for an end in good order")
		}

		m, c, p = meddled(t, version, torn)
		m.in.Store(true)
		p.Says("one\n")
		p.Says("two\n")
		if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}
