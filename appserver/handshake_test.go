package appserver

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

func TestActiveAndDeliveredCredentialsAreAccepted(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{})
	for _, state := range []api.CredentialState{api.Active, api.Delivered} {
		p.SetCredential(sim.Credential, state)
		inStep(t, m, p)
		eachVersion(t, func(t *testing.T, version uint16) {
			conn, _, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, version))
			if err != nil {
				t.Fatal(err)
			}
			id, ok := IdentityOf(conn)
			if !ok || id.ICCID != sim.ICCID || id.Credential != sim.Credential || id.Fleet != "meters" || !id.NotAfter.Equal(sim.Certificate.Leaf.NotAfter) {
				t.Errorf("identity: got %+v, %v", id, ok)
			}
			if id, err := m.Identify(conn.NetConn().(*tls.Conn).ConnectionState()); err != nil || id.ICCID != sim.ICCID {
				t.Errorf("Identify: got %+v, %v", id, err)
			}
		})
	}
}

func TestEveryOtherCredentialIsRefused(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	now := time.Now()
	clock := func() time.Time { return now }
	m := open(t, p, Options{Clock: clock})
	for _, c := range []struct {
		name   string
		change func()
		want   error
	}{
		{"keyed", func() { p.SetCredential(sim.Credential, api.Keyed) }, ErrNotIssued},
		{"superseded", func() { p.SetCredential(sim.Credential, api.Superseded) }, ErrSuperseded},
		{"expired", func() { p.SetCredential(sim.Credential, api.Expired) }, ErrExpired},
		{"suspended", func() { p.SetCredential(sim.Credential, api.Active); p.SetSIM(sim.ICCID, api.Suspended) }, ErrSuspended},
		{"terminated", func() { p.SetSIM(sim.ICCID, api.Terminated) }, ErrTerminated},
		{"revoked", func() { p.SetSIM(sim.ICCID, api.Provisioned); p.SetCredential(sim.Credential, api.Revoked) }, ErrRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.change()
			inStep(t, m, p)
			eachVersion(t, func(t *testing.T, version uint16) {
				if _, _, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, version)); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
			if id, err := m.Lookup(sim.Fingerprint); err != c.want || id.ICCID != sim.ICCID {
				t.Errorf("Lookup: got %+v, %v", id, err)
			}
		})
	}
}

func TestACertificateThatTheFeedNeverNamedIsRefused(t *testing.T) {
	p := platformtest.New(t)
	m := open(t, p, Options{})
	eachVersion(t, func(t *testing.T, version uint16) {
		stray := p.CA.Device(t, platformtest.ICCID(7)) // well signed, but unknown
		if _, _, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, stray, version)); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
	})
}

func TestNoCertificateOrAForeignOneIsRefused(t *testing.T) {
	p := platformtest.New(t)
	m := open(t, p, Options{})
	foreign := platformtest.NewCA(t).Device(t, platformtest.ICCID(1))
	eachVersion(t, func(t *testing.T, version uint16) {
		for _, certificates := range [][]tls.Certificate{nil, {foreign}} {
			client := clientConfig(p, tls.Certificate{}, version)
			client.Certificates = nil
			// A client that does not care what the server asks for.
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if certificates == nil {
					return &tls.Certificate{}, nil
				}
				return &certificates[0], nil
			}
			if _, _, err := connect(t, m, serverConfig(t, m, p), client); err == nil {
				t.Error("was let in")
			}
		}
	})
}

func TestACredentialPastItsEndIsRefusedWithoutAnEvent(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	end := sim.Certificate.Leaf.NotAfter
	p.Clock(func() time.Time { return end })
	m := open(t, p, Options{Clock: func() time.Time { return end }})
	if _, err := m.Lookup(sim.Fingerprint); err != ErrExpired {
		t.Errorf("got %v, want ErrExpired", err)
	}
}

func TestAResumedSessionIsCheckedAgain(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		p := platformtest.New(t)
		sim := p.Provision(t, platformtest.ICCID(1))
		m := open(t, p, Options{})
		server, client := serverConfig(t, m, p), clientConfig(p, sim.Certificate, version)
		client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		for i := range 2 {
			conn, _, err := connect(t, m, server, client)
			if err != nil {
				t.Fatal(err)
			}
			if resumed := conn.NetConn().(*tls.Conn).ConnectionState().DidResume; resumed != (i == 1) {
				t.Fatalf("handshake %d: resumed is %v", i, resumed)
			}
		}
		p.SetCredential(sim.Credential, api.Revoked)
		inStep(t, m, p)
		if _, _, err := connect(t, m, server, client); !errors.Is(err, ErrRevoked) {
			t.Errorf("got %v, want ErrRevoked", err)
		}
	})
}

func TestTheBaseConfigurationKeepsItsOwnChecks(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{})
	want := errors.New("not today")
	base := &tls.Config{
		Certificates:     []tls.Certificate{p.CA.Server(t, "server.example")},
		VerifyConnection: func(tls.ConnectionState) error { return want },
	}
	plain := base.Clone()
	plain.VerifyConnection = nil
	chosen := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return plain, nil }}
	client := clientConfig(p, sim.Certificate, tls.VersionTLS13)
	if _, _, err := connect(t, m, m.TLSConfig(base), client); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	if _, _, err := connect(t, m, m.TLSConfig(chosen), client); err != nil {
		t.Error(err)
	}
	p.SetCredential(sim.Credential, api.Revoked)
	inStep(t, m, p)
	if _, _, err := connect(t, m, m.TLSConfig(chosen), client); !errors.Is(err, ErrRevoked) {
		t.Errorf("with a configuration for each client: got %v", err)
	}
	if base.ClientAuth != tls.NoClientCert {
		t.Error("the base was changed")
	}
}

func TestStalenessIsToldAndLimitedIfAsked(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	dir := t.TempDir()
	now := make(chan time.Time, 1)
	now <- time.Now()
	clock := func() time.Time { n := <-now; now <- n; return n }
	m := open(t, p, Options{Dir: dir, Clock: clock, MaxStale: time.Minute})
	if _, err := m.Lookup(sim.Fingerprint); err != nil {
		t.Error(err)
	}
	p.Offline(true)
	now <- (<-now).Add(2 * time.Minute)
	if _, err := m.Lookup(sim.Fingerprint); err != ErrStale {
		t.Errorf("after two minutes: got %v, want ErrStale", err)
	}
	if lag := m.Synced().Lag; lag != 2*time.Minute {
		t.Errorf("lag: got %s", lag)
	}
	m.Close()

	m = openUnready(t, p, Options{Dir: dir})
	if _, err := m.Lookup(sim.Fingerprint); err != nil {
		t.Errorf("without a limit, from the journal: %v", err)
	}
	if s := m.Synced(); s.Connected || s.Contact.IsZero() || s.Seq != 2 {
		t.Errorf("status: got %+v", s)
	}
}
