package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/vsim"
)

// examined examines a SIM and returns what was found at one link.
func examined(t *testing.T, sim *vsim.Card, link string, change func(*Options)) (Finding, Report) {
	t.Helper()
	o := Options{Card: "vsim:one.sim", Open: func(context.Context) (card.Conn, error) { return sim, nil }}
	change(&o)
	r := Examine(t.Context(), o)
	for _, f := range r.Links {
		if f.Link == link {
			return f, r
		}
	}
	t.Fatalf("no link %s in %+v", link, r)
	return Finding{}, r
}

func (f Finding) is(t *testing.T, state State, words ...string) {
	t.Helper()
	for _, word := range words {
		if text := f.Saw + "\n" + f.Means + "\n" + f.Do; f.State != state || !strings.Contains(text, word) {
			t.Fatalf("%s is %s, want %s with %q:\n%s", f.Link, f.State, state, word, text)
		}
	}
}

// platformAt is a platform whose clock is ahead by so much, with a certificate of this CA.
func platformAt(t *testing.T, ca *fixture.CA, ahead time.Duration, names ...string) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusNotFound)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Server(names...)}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestTheClockIsComparedWithThePlatforms(t *testing.T) {
	ca := fixture.NewCA(t)
	for _, c := range []struct {
		ahead time.Duration // of the device's clock
		state State
		words string
	}{
		{0, Good, "the platform"},
		{time.Minute, Good, "the platform"},
		{-time.Hour, Broken, "the clock is wrong"},
		{time.Hour, Broken, "the clock is wrong"},
		{-50 * 365 * 24 * time.Hour, Broken, "timedatectl"}, // the platform's certificate is of the future then
		{50 * 365 * 24 * time.Hour, Broken, "timedatectl"},  // and expired
	} {
		f, _ := examined(t, ca.GoodSIM(), "clock", func(o *Options) {
			o.Platform, o.PlatformRoots = platformAt(t, ca, 0), ca.Pool()
			o.Now = func() time.Time { return time.Now().Add(c.ahead) }
		})
		f.is(t, c.state, c.words)
	}
}

// A certificate is judged by the platform's clock if that can be had.
func TestAWrongClockIsNotBlamedOnTheCertificate(t *testing.T) {
	ca := fixture.NewCA(t)
	f, _ := examined(t, ca.GoodSIM(), "certificate", func(o *Options) {
		o.Platform, o.PlatformRoots = platformAt(t, ca, 0), ca.Pool()
		o.Now = func() time.Time { return time.Now().Add(10 * 365 * 24 * time.Hour) }
	})
	f.is(t, Good, "good ")
}

func TestAPlatformThatCannotBeReachedOrTrustedIsTold(t *testing.T) {
	ca := fixture.NewCA(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for name, c := range map[string]struct {
		url   string
		roots *x509.CertPool
		words string
	}{
		"refused":       {"https://" + l.Addr().String(), ca.Pool(), "nothing listens"},
		"untrusted":     {platformAt(t, ca, 0), fixture.NewCA(t).Pool(), "--ca FILE"},
		"another name":  {platformAt(t, ca, 0, "elsewhere.example"), ca.Pool(), "another name"},
		"without TLS":   {"http://127.0.0.1:1", ca.Pool(), "want https"},
		"no such name":  {"https://nowhere.invalid", ca.Pool(), "resolved"},
		"no URL at all": {"127.0.0.1:8443", ca.Pool(), "want https"},
	} {
		t.Run(name, func(t *testing.T) {
			f, r := examined(t, ca.GoodSIM(), "platform", func(o *Options) { o.Platform, o.PlatformRoots = c.url, c.roots })
			f.is(t, Broken, c.words)
			if r.Good {
				t.Error("good all the same")
			}
		})
	}
}

// serverOf serves TLS connections until the test ends.
func serverOf(t *testing.T, wrap func(net.Conn) net.Conn) string {
	t.Helper()
	l := fixture.Listen(t)
	fixture.Serve(t, l, func(c net.Conn) { io.Copy(io.Discard, wrap(c)) }) //nolint:errcheck // the client tells
	return l.Addr().String()
}

func tlsServer(t *testing.T, config *tls.Config) string {
	t.Helper()
	return serverOf(t, func(c net.Conn) net.Conn { return tls.Server(c, config) })
}

func TestTheHandshakeIsTriedWithTheSIM(t *testing.T) {
	ca := fixture.NewCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := ca.ServerConfig()
		config.MinVersion, config.MaxVersion = version, version
		f, r := examined(t, ca.GoodSIM(), "handshake", func(o *Options) { o.Server = tlsServer(t, config) })
		f.is(t, Good, tls.VersionName(version))
		if !r.Good || strings.Contains(f.Saw, "did not ask") {
			t.Errorf("%+v", r)
		}
	}
	config := ca.ServerConfig()
	config.ClientAuth = tls.NoClientCert
	f, _ := examined(t, ca.GoodSIM(), "handshake", func(o *Options) { o.Server = tlsServer(t, config) })
	f.is(t, Good, "did not ask for the SIM's certificate")
}

func TestABrokenHandshakeIsTold(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	strangers := func(version uint16) *tls.Config { // knows another CA
		c := ca.ServerConfig()
		c.ClientCAs, c.MaxVersion = other.Pool(), version
		return c
	}
	foreign := ca.ServerConfig()
	foreign.Certificates = []tls.Certificate{other.Server()}
	misnamed := ca.ServerConfig()
	misnamed.Certificates = []tls.Certificate{ca.Server("elsewhere.example")}
	old := ca.ServerConfig()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for name, c := range map[string]struct {
		config *tls.Config
		words  string
	}{
		"the server does not know the CA, TLS 1.2": {strangers(tls.VersionTLS12), "does not know the CA"},
		"the server does not know the CA, TLS 1.3": {strangers(tls.VersionTLS13), "does not know the CA"},
		"the device does not know the server's":    {foreign, "--server-ca FILE"},
		"too old":                                  {old, "update the server"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := examined(t, ca.GoodSIM(), "handshake", func(o *Options) { o.Server = tlsServer(t, c.config) })
			f.is(t, Broken, c.words)
		})
	}
	t.Run("no TLS at all", func(t *testing.T) {
		f, _ := examined(t, ca.GoodSIM(), "handshake", func(o *Options) {
			o.Server = serverOf(t, func(c net.Conn) net.Conn {
				io.WriteString(c, "220 mail.example ESMTP\r\n") //nolint:errcheck // the client tells
				return c
			})
		})
		f.is(t, Broken, "see that TLS is spoken on this port")
	})
}

func TestAServerThatCannotBeReachedIsTold(t *testing.T) {
	ca := fixture.NewCA(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for server, words := range map[string]string{l.Addr().String(): "nothing listens", "nowhere.invalid:8883": "resolved", "nowhere": "check address, port"} {
		f, r := examined(t, ca.GoodSIM(), "server", func(o *Options) { o.Server = server })
		f.is(t, Broken, words)
		if r.Links[len(r.Links)-1].State != NotTried {
			t.Errorf("%+v", r)
		}
	}
}

func TestASIMThatDoesNotSignIsNotBlamedOnTheServer(t *testing.T) {
	ca := fixture.NewCA(t)
	f := &faulty{Card: ca.GoodSIM(), on: to(0x2A, anyP1, 0x6985)}
	asked := false
	o := Options{Card: "vsim:one.sim", Open: func(context.Context) (card.Conn, error) { return f, nil }}
	o.Server = serverOf(t, func(c net.Conn) net.Conn {
		if n, _ := c.Read(make([]byte, 1)); n > 0 {
			asked = true
		}
		return c
	})
	r := Examine(t.Context(), o)
	b := r.Broken()
	if b == nil || b.Link != "handshake" {
		t.Fatalf("%+v", r)
	}
	b.is(t, Broken, "does not sign")
	if asked {
		t.Error("the server was bothered")
	}
}

func TestATypeIISIMTriesItsPSK(t *testing.T) {
	psk := bytes.Repeat([]byte{7}, 32)
	server := serverOf(t, func(c net.Conn) net.Conn {
		return psktls.Server(c, &psktls.Config{GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
			if string(identity) != "meter 1" {
				return nil, psktls.ErrUnknownIdentity
			}
			return psktls.SecretKey(psk), nil
		}})
	})
	f, _ := examined(t, fixture.PSKSIM(t, psk), "handshake", func(o *Options) { o.Server, o.Identity = server, "meter 1" })
	f.is(t, Good, "meter 1")
	f, _ = examined(t, fixture.PSKSIM(t, psk), "handshake", func(o *Options) { o.Server, o.Identity = server, "meter 2" })
	f.is(t, Broken, "knows this identity")
	f, r := examined(t, fixture.PSKSIM(t, psk), "handshake", func(o *Options) { o.Server = server })
	f.is(t, LeftOut, "--psk-identity")
	if !r.Good {
		t.Errorf("%+v", r)
	}
}

func TestATypeIISIMThatNamesItsIdentityNeedsNoneGiven(t *testing.T) {
	server := serverOf(t, func(c net.Conn) net.Conn {
		return psktls.Server(c, &psktls.Config{GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
			if string(identity) != "meter 3" {
				return nil, psktls.ErrUnknownIdentity
			}
			return psktls.SecretKey(bytes.Repeat([]byte{7}, 32)), nil
		}})
	})
	label, err := iotsafe.PSKLabel("meter 3", false)
	if err != nil {
		t.Fatal(err)
	}
	sim := fixture.NewSIM(t, fmt.Sprintf("type: 2\nsecrets:\n- {id: \"21\", label: %q, hex: %q}\n", label, strings.Repeat("07", 32)))
	f, r := examined(t, sim, "handshake", func(o *Options) { o.Server = server })
	f.is(t, Good, "meter 3")
	for _, l := range r.Links {
		if l.Link == "certificate" {
			l.is(t, Good, "servers know it as meter 3")
		}
	}
}
