package dtls_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// behindNAT is a client whose address can change, and its connection on the server.
func behindNAT(t *testing.T, l *dtls.Listener, ids int) (n *realparts.NAT, c, s *dtls.Conn) {
	t.Helper()
	n = realparts.NewNAT(t, l.Addr())
	config := clientConfig()
	config.ConnectionIDs = ids
	c, err := dial(t, n.Inside.String(), config)
	if err != nil {
		t.Fatal(err)
	}
	return n, c, accept(t, l)
}

func listenWithIDs(t *testing.T, ids int) *dtls.Listener {
	t.Helper()
	config := serverConfig()
	config.ConnectionIDs = ids
	return listen(t, config)
}

func TestAClientWhoseAddressChangesKeepsItsSession(t *testing.T) {
	for _, ids := range []int{dtls.OnlySend, 4} {
		l := listenWithIDs(t, 8)
		n, c, s := behindNAT(t, l, ids)
		if !c.ConnectionState().ConnectionIDs || !s.ConnectionState().ConnectionIDs {
			t.Fatal("no connection ids")
		}
		says(t, c, s, "from home")
		for range 3 {
			elsewhere := realparts.UDP(t)
			n.Forget(elsewhere)
			says(t, c, s, "from elsewhere")
			if got, want := s.RemoteAddr().String(), elsewhere.LocalAddr().String(); got != want {
				t.Errorf("the server believes the client at %s, which is at %s", got, want)
			}
			says(t, s, c, "answered there")
		}
		n.Forget(realparts.UDP(t))
		c.Close()
		if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the end from yet another address: %v", err)
		}
	}
}

// heard has the listener take in everything that was sent to it before: it reads its socket in
// order, and each connection its datagrams.
func heard(t *testing.T, l *dtls.Listener) {
	t.Helper()
	other, err := dial(t, l.Addr().String(), clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	says(t, other, accept(t, l), "is all before this read?")
}

// nothing makes sure that no datagram waits for s.
func nothing(t *testing.T, s *dtls.Conn) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(-time.Second))
	if n, err := s.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
	s.SetReadDeadline(time.Now().Add(patience))
}

func TestWithoutConnectionIDsAClientIsItsAddress(t *testing.T) {
	for _, ids := range [][2]int{{0, 8}, {dtls.OnlySend, 0}, {4, dtls.OnlySend}} {
		l := listenWithIDs(t, ids[1])
		n, c, s := behindNAT(t, l, ids[0])
		says(t, c, s, "from home")
		n.Forget(realparts.UDP(t))
		if _, err := c.Write([]byte("from elsewhere")); err != nil {
			t.Fatal(err)
		}
		heard(t, l)
		nothing(t, s)
	}
}

func TestAReplayedForgedOrLateDatagramMovesNobody(t *testing.T) {
	l := listenWithIDs(t, 8)
	n, c, s := behindNAT(t, l, dtls.OnlySend)
	says(t, c, s, "one")
	old := n.Last()
	held, release := n.Hold()
	if _, err := c.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	late := <-held
	release()
	says(t, c, s, "two")
	forged := n.Last()
	forged[10] += 9 // a record number that was not yet
	attacker := realparts.UDP(t)
	for _, d := range [][]byte{n.Last(), old, forged, forged[:len(forged)-1], late} {
		if _, err := attacker.WriteTo(d, l.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	if n, err := s.Read(buf); err != nil || string(buf[:n]) != "late" { // it is authentic, but not the newest
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if got := s.RemoteAddr(); got.String() == attacker.LocalAddr().String() {
		t.Error("the client's address has become the attacker's")
	}
	says(t, s, c, "still here")
}

// Somebody on the way sends on a client's datagram under a victim's address, before the
// client's own arrives.
func TestAnAddressThatIsNotProvenIsNotFlooded(t *testing.T) {
	l := listenWithIDs(t, 8)
	n, c, s := behindNAT(t, l, dtls.OnlySend)
	says(t, c, s, "from home")
	victim := realparts.UDP(t)
	lure := func() (size int) {
		held, release := n.Hold()
		if _, err := c.Write([]byte("please send me a lot")); err != nil {
			t.Fatal(err)
		}
		stolen := <-held
		release()
		if _, err := victim.WriteTo(stolen, l.Addr()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if _, err := s.Read(buf); err != nil {
			t.Fatal(err)
		}
		return len(stolen)
	}
	flood := func() (sent int, err error) {
		for range 100 {
			if _, err = s.Write(make([]byte, 10)); err != nil {
				return sent, err
			}
			sent += 10
		}
		return sent, nil
	}
	size := lure()
	if sent, err := flood(); !errors.Is(err, dtls.ErrAddressUnproven) || sent == 0 || sent > 3*size {
		t.Errorf("%d bytes sent for %d, then %v", sent, size, err)
	}
	says(t, c, s, "from home again") // which the handshake has proven
	if sent, err := flood(); err != nil {
		t.Errorf("%d bytes sent home, then %v", sent, err)
	}
	lure()
	s.AddressProven()
	if sent, err := flood(); err != nil {
		t.Errorf("%d bytes sent to an address said to be proven, then %v", sent, err)
	}
}

func TestAClientThatComesToAnAddressDisplacesNobody(t *testing.T) {
	l := listenWithIDs(t, 8)
	n, c, s := behindNAT(t, l, dtls.OnlySend)
	neighbour, plain, its := behindNAT(t, l, 0)
	says(t, plain, its, "I live here")
	n.Forget(neighbour.Outside()) // or forges its address
	says(t, c, s, "so do I")
	says(t, plain, its, "do I?")
	says(t, c, s, "both of us")
}

func TestANewClientAtAnAddressLeavesTheSessionOfOneWithAnID(t *testing.T) {
	l := listenWithIDs(t, 8)
	n, c, s := behindNAT(t, l, dtls.OnlySend)
	says(t, c, s, "before")
	here := n.Outside()
	n.Forget(realparts.UDP(t))
	here.Close()
	local := here.LocalAddr().(*net.UDPAddr)
	conn, err := net.DialUDP("udp", local, l.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	other, err := dtls.Client(conn, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	other.SetDeadline(time.Now().Add(patience))
	if err := other.Handshake(); err != nil {
		t.Fatal(err)
	}
	says(t, other, accept(t, l), "somebody else")
	says(t, c, s, "still the same session")
}

func TestShortConnectionIDsAreGivenOnce(t *testing.T) {
	l := listenWithIDs(t, 1) // 256 of them: among 60 the same is bound to be drawn twice
	for range 60 {
		n, c, s := behindNAT(t, l, dtls.OnlySend)
		n.Forget(realparts.UDP(t))
		says(t, c, s, "me")
	}
}

func TestAnImpossibleLengthOfConnectionIDsIsRefused(t *testing.T) {
	for _, length := range []int{-2, psktls.MaxConnectionID + 1} {
		config := clientConfig()
		config.ConnectionIDs = length
		if _, err := dtls.Client(nil, config); !errors.Is(err, psktls.ErrConfig) {
			t.Error(err)
		}
		config = serverConfig()
		config.ConnectionIDs = length
		if _, err := dtls.Listen(nil, config); !errors.Is(err, psktls.ErrConfig) {
			t.Error(err)
		}
	}
}
