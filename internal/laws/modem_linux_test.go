package laws

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
	virtual "github.com/simroot/simroot/vsim/modem"
)

// Through every kind of modem that is known from the field, and on every way through it, a
// SIM gets its credential, and signs with it.
func TestASIMIsOnboardedAndSignsThroughEveryModem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fleet("modems", api.Profile{Type: api.CertificateType})
	// What has to be told by hand, because no query finds it out.
	options := map[string]string{"cuts-answers": "&answer=50", "cuts-answers-unseen": "&answer=50"}
	for at, p := range virtual.Personalities() {
		ways := []string{""}
		if !slices.Contains(p.Lacks, "+CCHO") {
			ways = append(ways, "&mode=cgla")
		}
		if p.NoProfile || slices.Contains([]string{"9600", "terse"}, p.Name) {
			continue // have tests of their own
		}
		for way, mode := range ways {
			iccid := fmt.Sprintf("898821170000000%03d%d", at, way)
			sim := vsim.NewMemory(w.sims("modems", "common", iccid)[0])
			t.Run(p.Name+" "+strings.TrimPrefix(mode, "&mode="), func(t *testing.T) {
				t.Parallel()
				c := throughModem(t, sim, p, mode+options[p.Name])
				if _, err := w.onboard(c); err != nil {
					t.Fatal(err)
				}
				usable(t, w, c, iccid, at)
			})
		}
	}
}

// A line of 9600 bit/s is too slow for a whole onboarding in a test, and a terse modem has
// no second channel for it. What the SIM holds already works with both.
func TestASIMWithACredentialSignsThroughPoorModems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fleet("poor", api.Profile{Type: api.CertificateType})
	for at, name := range []string{"9600", "terse"} {
		iccid := fmt.Sprintf("898821180000000000%d", at)
		sim := vsim.NewMemory(w.sims("poor", "common", iccid)[0])
		if _, err := w.onboard(sim); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			p, err := virtual.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			options := map[string]string{"terse": "&model=m33mu"}[name]
			usable(t, w, throughModem(t, sim, p, options), iccid, 0)
		})
	}
}

func TestAModemWithoutAnEnabledProfileSaysSoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fleet("empty", api.Profile{Type: api.CertificateType})
	sim := vsim.NewMemory(w.sims("empty", "common", "8988211900000000000")[0])
	p, err := virtual.Lookup("no-profile")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := card.Open(t.Context(), inModem(t, sim, p)); !errors.Is(err, modem.ErrSIMFailure) {
		t.Errorf("%v: want modem.ErrSIMFailure", err)
	}
}

// A signature, that is what a handshake asks of the SIM, and what a whole start costs: opening
// the line, finding the way, and selecting the applet.
func BenchmarkModem(b *testing.B) {
	w := newWorld(b)
	w.fleet("bench", api.Profile{Type: api.CertificateType})
	sim := vsim.NewMemory(w.sims("bench", "common", "8988212000000000000")[0])
	if _, err := w.onboard(sim); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ personality, options string }{{"default", "&mode=csim"}, {"default", "&mode=cgla"}, {"115200", ""}, {"9600", ""}} {
		p, err := virtual.Lookup(c.personality)
		if err != nil {
			b.Fatal(err)
		}
		name := c.personality + strings.TrimPrefix(c.options, "&mode=")
		b.Run("sign/"+name, func(b *testing.B) {
			d, err := device.New(b.Context(), throughModem(b, sim, p, c.options))
			if err != nil {
				b.Fatal(err)
			}
			certificate, err := d.Certificate(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			digest := sha256.Sum256([]byte("transcript"))
			for b.Loop() {
				if _, err := certificate.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("start/"+name, func(b *testing.B) {
			uri := inModem(b, sim, p) + c.options
			for b.Loop() {
				d, err := device.Open(b.Context(), uri)
				if err != nil {
					b.Fatal(err)
				}
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// throughModem opens a SIM through a modem on a pseudo-terminal.
func throughModem(t testing.TB, sim *vsim.Card, p virtual.Personality, options string) card.Conn {
	t.Helper()
	c, err := card.Open(t.Context(), inModem(t, sim, p)+options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// inModem puts a SIM into a modem until the test's end, and returns the card URI.
func inModem(t testing.TB, sim *vsim.Card, p virtual.Personality) string {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	device, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- virtual.Run(ctx, filepath.Join(dir, "modem"), sim, p, func(name string) { device <- name })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the modem did not end well: %v", err)
		}
	})
	select {
	case <-device:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return "modem:" + filepath.Join(dir, "modem") + "?lock=" + url.QueryEscape(dir)
}
