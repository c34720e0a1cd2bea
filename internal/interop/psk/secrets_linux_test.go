package psk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/simroot/simroot/card"
	_ "github.com/simroot/simroot/card/modem"
	_ "github.com/simroot/simroot/card/pcsc"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

// A place is where our side's secret lives. The peer always has it in memory.
type place struct {
	name string
	key  psktls.Key
}

// places are the names of all: this process's memory, a SIM behind a modem's AT commands on a
// pseudo-terminal, and a SIM in a reader of the PC/SC daemon.
var places = []string{"memory", "modem", "reader"}

// everyPlace runs a test with the secret in each place.
func everyPlace(t *testing.T, test func(t *testing.T, p place)) {
	for _, name := range places {
		t.Run(name, func(t *testing.T) { test(t, open(t, name)) })
	}
}

// eachSuite runs a test for each of the suites that the place can do.
func eachSuite(t *testing.T, p place, suites []peerSuite, test func(t *testing.T, s peerSuite)) {
	for _, s := range suites {
		if p.can(s.id) {
			t.Run(psktls.CipherSuiteName(s.id), func(t *testing.T) { test(t, s) })
		}
	}
}

// peerSuite is a suite of ours as a peer calls it.
type peerSuite struct {
	id   uint16
	name string
}

// can says whether the place can do a suite: COMPUTE PRF of the applet knows SHA-256 only
// (GSMA IoT.05, 5.2), COMPUTE HKDF SHA-384 too.
func (p place) can(suite uint16) bool {
	return p.name == "memory" || !slices.Contains(sha384Suites, suite)
}

var sha384Suites = []uint16{psktls.TLS_PSK_WITH_AES_256_GCM_SHA384, psktls.TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384}

func (p place) client() *psktls.Config {
	return &psktls.Config{Identity: []byte(identity), Key: p.key, AllowPSKOnly: true}
}

func (p place) server() *psktls.Config {
	return &psktls.Config{AllowPSKOnly: true, GetKey: onlyIdentity(p.key)}
}

// onlyIdentity knows one key.
func onlyIdentity(key psktls.Key) func(context.Context, []byte) (psktls.Key, error) {
	return func(_ context.Context, got []byte) (psktls.Key, error) {
		if string(got) != identity {
			return nil, psktls.ErrUnknownIdentity
		}
		return key, nil
	}
}

// simProfile is a SIM that has our secret.
const simProfile = `type: 2
secrets:
- {id: "21", label: psk, functions: [derive], derivations: [prf-sha256, hkdf], hex: "%s"}
`

// open puts the secret in its place.
func open(t *testing.T, name string) place {
	t.Helper()
	if name == "memory" {
		return place{name, psktls.SecretKey(psk)}
	}
	dir := t.TempDir()
	simroot, profile, image, line := realparts.Binary(t, "simroot"), filepath.Join(dir, "psk.yaml"), filepath.Join(dir, "sim"), filepath.Join(dir, "modem")
	if err := os.WriteFile(profile, fmt.Appendf(nil, simProfile, pskHex), 0o600); err != nil {
		t.Fatal(err)
	}
	realparts.Run(t, simroot, "card", "new", "--profile", profile, "--iccid", "89882119900000000009", "--out", image)
	uri := "modem:" + line
	if name == "modem" {
		realparts.Start(t, simroot, "card", "run", image, "--modem", line).WaitLog("is in the modem at")
	} else {
		uri = "pcsc:"
		realparts.PCSCD(t)
		realparts.Start(t, simroot, "card", "run", image, "--reader")
	}
	var d *device.Device
	var err error
	realparts.WaitFor(t, "the SIM to answer at "+uri, func() bool {
		var conn card.Conn
		if conn, err = card.Open(t.Context(), uri); err != nil {
			return false
		}
		if d, err = device.New(t.Context(), conn); err != nil {
			conn.Close()
		}
		return err == nil
	})
	t.Cleanup(func() { d.Close() })
	key, err := d.PSK(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return place{name, key}
}
