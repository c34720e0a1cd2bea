package appserver

import (
	"bytes"
	"crypto/tls"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/internal/testlog"
)

// fakeClock is a clock that a test sets.
type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *fakeClock { return &fakeClock{at: time.Now()} }

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// beat waits until the middleware has heard the platform again.
func beat(t *testing.T, m *Middleware, p *platformtest.Platform) {
	t.Helper()
	sim := p.Provision(t, platformtest.ICCID(999))
	await(t, m, func() bool { _, err := m.Lookup(sim.Fingerprint); return !errors.Is(err, ErrUnknown) })
	inStep(t, m, p)
}

func TestWhileThePlatformIsDownForAnHourThePolicyForStalenessHolds(t *testing.T) {
	for _, c := range []struct {
		name              string
		options           Options
		wantNew, wantLive error
	}{
		{"the default serves on", Options{}, nil, nil},
		{"within the limits", Options{MaxStale: 2 * time.Hour, CutStale: 2 * time.Hour}, nil, nil},
		{"new ones are refused", Options{MaxStale: 30 * time.Minute}, ErrStale, nil},
		{"all are refused", Options{MaxStale: 30 * time.Minute, CutStale: 45 * time.Minute}, ErrStale, ErrStale},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := platformtest.New(t)
			clock := newClock()
			p.Clock(clock.now)
			sim := p.Provision(t, platformtest.ICCID(1))
			c.options.Clock, c.options.Dir = clock.now, t.TempDir()
			m := open(t, p, c.options)
			server, client := serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13)
			conn, device, err := connect(t, m, server, client)
			if err != nil {
				t.Fatal(err)
			}
			p.Offline(true)
			clock.advance(time.Hour)
			m.live.cutAll(m.cutReason) // what the ticker does

			if _, err := m.Lookup(sim.Fingerprint); err != c.wantNew {
				t.Errorf("a new connection: got %v, want %v", err, c.wantNew)
			}
			if c.wantLive != nil {
				ended(t, conn, device, c.wantLive)
			} else if conn.Cause() != nil {
				t.Errorf("the live connection: got %v", conn.Cause())
			}
			if s := m.Synced(); s.Lag != time.Hour || s.Stale != (c.wantNew != nil) {
				t.Errorf("status: %+v", s)
			}

			// A restart neither forgets how old the replica is nor makes it fresh.
			m.Close()
			restarted := c.options
			m = openUnready(t, p, restarted)
			if _, err := m.Lookup(sim.Fingerprint); err != c.wantNew {
				t.Errorf("after a restart: got %v, want %v", err, c.wantNew)
			}
			if lag := m.Synced().Lag; lag < time.Hour || lag > time.Hour+time.Minute {
				t.Errorf("after a restart: a lag of %s, want an hour", lag)
			}
			p.Offline(false)
			if err := m.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Lookup(sim.Fingerprint); err != nil {
				t.Errorf("when the platform is back: %v", err)
			}
		})
	}
}

func TestAClockThatIsWrongByADayIsToldAndDatesAreThePlatforms(t *testing.T) {
	const day = 24 * time.Hour
	for name, off := range map[string]time.Duration{"fast": day, "slow": -day} {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			sim := p.Provision(t, platformtest.ICCID(1)) // from an hour ago to a hundred hours from now
			own, platform := newClock(), newClock()
			own.advance(off)
			p.Clock(platform.now)
			log := testlog.New(t)
			m := open(t, p, Options{Clock: own.now, MaxStale: time.Minute, Logger: log.Logger()})
			if got := m.Synced().ClockOff; (got - off).Abs() > time.Second {
				t.Errorf("off by %s, want %s", got, off)
			}
			if !log.Says("clock") {
				t.Errorf("nothing was said of it:\n%s", log)
			}
			if _, _, err := connect(t, m, serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13)); err != nil {
				t.Errorf("a certificate that is good by the platform's time: %v", err)
			}
			end := sim.Certificate.Leaf.NotAfter
			for _, clock := range []*fakeClock{own, platform} {
				clock.advance(end.Sub(platform.now()) + time.Second)
			}
			if _, err := m.Lookup(sim.Fingerprint); err != ErrStale && err != ErrExpired {
				t.Errorf("after its end: got %v", err)
			}
			beat(t, m, p)
			if _, err := m.Lookup(sim.Fingerprint); err != ErrExpired {
				t.Errorf("after its end: got %v, want ErrExpired", err)
			}
		})
	}
}

func TestAfterARestartASlowClockIsNoticedWithoutThePlatform(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	m.Close()
	p.Offline(true)
	own := newClock()
	own.advance(-48 * time.Hour)
	m = openUnready(t, p, Options{Dir: dir, Clock: own.now, MaxStale: 72 * time.Hour})
	if s := m.Synced(); s.ClockOff > -47*time.Hour || !s.Stale {
		t.Errorf("status: %+v", s)
	}
	if _, err := m.Lookup(sim.Fingerprint); err != ErrStale {
		t.Errorf("of unknown age: got %v, want ErrStale", err)
	}
}

// A platform is restored from a backup and goes on: it comes to the number that the replica
// is at, or past it, with other events. Numbers alone would not show that.
func TestARestoredPlatformThatHasCaughtUpIsNoticed(t *testing.T) {
	for name, further := range map[string]int{"at the same number": 1, "past it": 5} {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			first, lost := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
			dir := t.TempDir()
			m := open(t, p, Options{Dir: dir})
			m.Close()
			p.Restore(2, "")
			var others []platformtest.SIM
			for i := range further {
				others = append(others, p.Provision(t, platformtest.ICCID(10+i)))
			}
			log := testlog.New(t)
			m = openUnready(t, p, Options{Dir: dir, Logger: log.Logger()})
			if err := m.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			inStep(t, m, p)
			for _, sim := range append(others, first) {
				if _, err := m.Lookup(sim.Fingerprint); err != nil {
					t.Errorf("SIM %s: %v", sim.ICCID, err)
				}
			}
			if _, err := m.Lookup(lost.Fingerprint); err != ErrUnknown {
				t.Errorf("what the platform does not know: got %v, want ErrUnknown", err)
			}
			if !log.Says("restored from a backup") {
				t.Errorf("nothing was said of it:\n%s", log)
			}
		})
	}
}

func TestDuringACARollOverSIMsOfBothAreAccepted(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		p := platformtest.New(t)
		p.Heartbeat(5 * time.Millisecond)
		old := p.Provision(t, platformtest.ICCID(1))
		m := open(t, p, Options{})
		server := serverConfig(t, m, p)
		next := platformtest.NewCA(t)
		young := p.ProvisionBy(t, next, platformtest.ICCID(2))
		inStep(t, m, p)
		if _, _, err := connect(t, m, server, clientConfig(p, young.Certificate, version)); err == nil {
			t.Error("a SIM of a CA that is not published was let in")
		}
		known := func(want int) {
			t.Helper()
			for late := time.Now().Add(patience); bytes.Count(append(bytes.Clone(m.anchors.Load().roots), m.anchors.Load().issuers...), []byte("BEGIN")) != want; {
				if time.Now().After(late) {
					t.Fatal("the change of CAs does not arrive")
				}
				p.SetSIM(old.ICCID, api.Provisioned)
				inStep(t, m, p)
			}
		}
		p.Publish(next)
		known(4)
		for _, sim := range []platformtest.SIM{old, young} {
			if _, _, err := connect(t, m, server, clientConfig(p, sim.Certificate, version)); err != nil {
				t.Errorf("SIM %s: %v", sim.ICCID, err)
			}
		}
		p.Publish(nil)
		known(2)
		if _, _, err := connect(t, m, server, clientConfig(p, young.Certificate, version)); err == nil {
			t.Error("a SIM of a CA that was withdrawn was let in")
		}
	})
}

// A ticket outlives the state of the SIM that it was given to.
func TestAResumedSessionOfASuspendedSIMIsRefused(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		p := platformtest.New(t)
		sim := p.Provision(t, platformtest.ICCID(1))
		m := open(t, p, Options{})
		server, client := serverConfig(t, m, p), clientConfig(p, sim.Certificate, version)
		client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		if _, _, err := connect(t, m, server, client); err != nil {
			t.Fatal(err)
		}
		p.SetSIM(sim.ICCID, api.Suspended)
		inStep(t, m, p)
		if _, _, err := connect(t, m, server, client); !errors.Is(err, ErrSuspended) {
			t.Errorf("got %v, want ErrSuspended", err)
		}
	})
}
