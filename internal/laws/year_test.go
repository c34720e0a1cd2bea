package laws

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/issuer"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/relay"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/vsim"
)

// years is a device with its agent and an unreliable platform, in time that passes at once.
type years struct {
	t     *testing.T
	world *fixture.World
	relay *relay.Relay
	sim   *vsim.Card
	kind  api.CredentialType

	mu         sync.Mutex      // guards what follows
	chance     *rand.Rand      // of mishaps
	own        tls.Certificate // of the server
	cut        bool            // the agent's line to the SIM, until it opens the SIM again
	onboarded  bool
	handshakes int
	mishaps    map[string]int
}

const serverName = "server.example"

// A device is left to itself for more than a year. Its agent renews the credential again
// and again, over a platform that is away, too busy or forgets, a server that hears late, and a
// line to the SIM that breaks; and at no moment, in the middle of a rotation too, does the device
// fail in a handshake.
func TestAVirtualYearWithoutAHandshakeThatFails(t *testing.T) {
	for name, kind := range tries {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%s, mishaps of seed %d", name, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { liveAYear(t, kind.profile, kind.kind, kind.renewal, seed) })
			})
		}
	}
}

func liveAYear(t *testing.T, profile string, kind api.CredentialType, renewal api.Renewal, seed uint64) {
	y := newYears(t, profile, kind, seed)
	y.under(renewal)
	agent := device.NewAgent(device.AgentOptions{
		Open: y.open, Platform: y, Look: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	for agent.Status().State != device.AgentReady {
		time.Sleep(time.Minute)
	}
	for halfDay := range 2 * 400 {
		time.Sleep(12 * time.Hour)
		y.handshake("in daily life")
		y.rollOver(halfDay / 2)
	}
	synctest.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	all := y.credentials()
	active := 0
	for _, c := range all {
		if c.State == api.Active {
			active++
		}
	}
	if renewal == api.Renew {
		y.checkKeys(all)
	}
	// 90 days, renewed 30 days before the end: one at first, and one each 60 days.
	if len(all) < 7 || len(all) > 9 || active != 1 {
		t.Errorf("%d credentials, %d of them active", len(all), active)
	}
	if y.mishaps["line"] < 10 || y.mishaps["away"]+y.mishaps["busy"]+y.mishaps["forgets"]+y.mishaps["late"] < 5 {
		t.Errorf("so few mishaps that the test says less than it should: %v", y.mishaps)
	}
	t.Logf("%d credentials, %d handshakes, mishaps %v", len(all), y.handshakes, y.mishaps)
}

func newYears(t *testing.T, profile string, kind api.CredentialType, seed uint64) *years {
	t.Helper()
	y := &years{t: t, world: fixture.New(t), kind: kind, chance: rand.New(rand.NewPCG(seed, 0)), mishaps: map[string]int{}}
	y.relay = relay.New(relay.Options{Registry: y.world.Registry, Life: y.world.Life, Anchors: y.world.CA.OnSIM, Campaigns: y.world.Campaigns})
	t.Cleanup(y.relay.Close)
	state, err := vsim.Profile(profile, someICCID)
	if err != nil {
		t.Fatal(err)
	}
	y.sim = vsim.NewMemory(state)
	var file bytes.Buffer
	batch, err := api.NewBatchWriter(&file, y.world.Registry.TransportKey())
	if err != nil {
		t.Fatal(err)
	}
	fleet := map[api.CredentialType]string{api.CertificateType: "meters", api.PSKType: "locks"}[kind]
	err = errors.Join(batch.Add(issuer.BatchEntry(state)), batch.Close())
	if _, imported := y.world.Registry.Import(t.Context(), "test", fleet, &file); err != nil || imported != nil {
		t.Fatal(err, imported)
	}

	if err := y.certify(); err != nil {
		t.Fatal(err)
	}
	return y
}

// keyAge is how long the keys of a SIM live that renews its certificates: two of them for each key.
const keyAge = 200 * 24 * time.Hour

// under puts the fleet of certificates under a way of renewal.
func (y *years) under(renewal api.Renewal) {
	y.t.Helper()
	f, err := y.world.Registry.Fleet(y.t.Context(), "meters")
	if err != nil {
		y.t.Fatal(err)
	}
	f.Profile.Renewal, f.Profile.KeyAge = renewal, api.Duration(keyAge)
	if _, err := y.world.Registry.UpdateFleet(y.t.Context(), "test", f.Name, f); err != nil {
		y.t.Fatal(err)
	}
}

// checkKeys holds a year's certificates to the policy: a key has several, and none that ends when the
// key is too old.
func (y *years) checkKeys(all []api.Credential) {
	since := map[string]time.Time{}
	for _, c := range all {
		leaf, err := x509.ParseCertificate(c.Certificate)
		if err != nil {
			y.t.Error(err)
			return
		}
		key := string(leaf.RawSubjectPublicKeyInfo)
		if _, known := since[key]; !known {
			since[key] = c.Created
		}
		if age := c.NotAfter.Sub(since[key]); age > keyAge {
			y.t.Errorf("a key of %s, which ends with its certificate: want no more than %s", age, keyAge)
		}
	}
	if len(since) < len(all)/2 || len(since) > len(all)*2/3 {
		y.t.Errorf("%d keys for %d certificates: want one for two", len(since), len(all))
	}
}

// rollOver takes the platform from its CA to another in the middle of the year, and renews the
// server's certificate now and then.
func (y *years) rollOver(day int) {
	y.world.Pass(time.Since(y.world.Now()))
	var err error
	switch day {
	case 100:
		_, err = y.world.Rollover.Begin(y.t.Context(), "test", api.Change{})
	case 200: // a renewal after the beginning, the SIM has the new root
		_, err = y.world.Rollover.Finish(y.t.Context(), "test", api.FinishRollover{})
	default:
		err = y.world.Rollover.Work(y.t.Context())
	}
	if err == nil && (day == 0 || day%30 == 0) {
		err = y.certify()
	}
	if err != nil {
		y.t.Errorf("on day %d: %v", day, err)
	}
}

// certify has the CA that issues certify the server.
func (y *years) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return err
	}
	leaf, err := y.world.CA.IssueServer([]string{serverName}, key.Public())
	if err != nil {
		return err
	}
	own := tls.Certificate{PrivateKey: key}
	for block, rest := pem.Decode(y.world.CA.Chain(leaf)); block != nil; block, rest = pem.Decode(rest) {
		own.Certificate = append(own.Certificate, block.Bytes)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.own = own
	return nil
}

// happens tells whether a mishap happens now: one time in n.
func (y *years) happens(what string, n int) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.chance.IntN(n) > 0 {
		return false
	}
	y.mishaps[what]++
	return true
}

// agentLine is the agent's own line to the SIM, which breaks now and then, for the SIM's power
// does.
type agentLine struct {
	*vsim.Card
	y *years
}

var errLine = errors.New("the line to the SIM is broken")

func (l agentLine) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if l.y.happens("line", 200) {
		l.y.mu.Lock()
		l.y.cut = true
		done := l.y.chance.IntN(2) == 0
		l.y.mu.Unlock()
		if done { // the SIM has carried it out, and its answer is lost
			if _, err := l.Card.Transmit(ctx, command); err != nil {
				return nil, err
			}
		}
		l.Card.Reset()
	}
	l.y.mu.Lock()
	cut := l.y.cut
	l.y.mu.Unlock()
	if cut {
		return nil, errLine
	}
	return l.Card.Transmit(ctx, command)
}

func (l agentLine) Close() error { return nil }

func (y *years) open(ctx context.Context) (device.AgentSIM, error) {
	y.mu.Lock()
	y.cut = false
	y.mu.Unlock()
	d, err := device.New(ctx, agentLine{y.sim, y}, device.WithTrial(func(_ context.Context, on *device.Device) error {
		y.handshake("during a trial")
		if y.happens("late", 3) {
			return errors.New("the server has not heard of it yet")
		}
		return y.shakeHands(on)
	}))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// OpenRelay and AnswerRelay are the platform, as it is.

func (y *years) OpenRelay(ctx context.Context, request api.RelayOpen) (api.RelayStep, error) {
	return y.served(func() (api.RelayStep, error) { return y.relay.Open(ctx, request) })
}

func (y *years) AnswerRelay(ctx context.Context, session string, answers api.RelayAnswers) (api.RelayStep, error) {
	return y.served(func() (api.RelayStep, error) { return y.relay.Answer(ctx, session, answers) })
}

func (y *years) served(serve func() (api.RelayStep, error)) (api.RelayStep, error) {
	y.handshake("before a step of the relay")
	y.world.Pass(time.Since(y.world.Now()))
	switch {
	case y.happens("away", 20):
		return api.RelayStep{}, errors.New("dial tcp: connection refused")
	case y.happens("busy", 20):
		return api.RelayStep{}, &api.Error{Status: 429, Code: api.CodeTooManyRequests, RetryAfter: time.Hour}
	}
	step, err := serve()
	if err == nil && step.Result != nil {
		y.mu.Lock()
		y.onboarded = true
		y.mu.Unlock()
	}
	y.handshake("after a step of the relay")
	if y.happens("forgets", 20) { // it has done its part, and nobody hears of it
		return api.RelayStep{}, errors.New("connection reset")
	}
	return step, err
}

// handshake is one of the device's, as it is at this moment.
func (y *years) handshake(when string) {
	y.mu.Lock()
	onboarded := y.onboarded
	y.handshakes++
	y.mu.Unlock()
	if !onboarded {
		return
	}
	d, err := device.New(y.t.Context(), held{y.sim})
	if err != nil {
		y.t.Errorf("%s, %s: %v", time.Now(), when, err)
		return
	}
	defer d.Applet().Close(context.WithoutCancel(y.t.Context())) // a SIM has few channels
	if err := y.shakeHands(d); err != nil {
		y.t.Errorf("%s, %s: the handshake fails: %v", time.Now(), when, err)
	}
}

// held is a card that stays open.
type held struct{ *vsim.Card }

func (held) Close() error { return nil }

var _ card.Conn = held{}

// shakeHands is one handshake with a server that asks the platform what is good.
func (y *years) shakeHands(d *device.Device) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	served := make(chan error, 1)
	if y.kind == api.PSKType {
		config, err := d.PSKConfig(y.t.Context(), "", serverName)
		if err != nil {
			return err
		}
		server := psktls.Server(a, &psktls.Config{GetKey: y.secretOf})
		go func() { served <- server.HandshakeContext(y.t.Context()) }()
		return both(b, psktls.Client(b, config).HandshakeContext(y.t.Context()), served)
	}
	config, err := d.TLSConfig(y.t.Context())
	if err != nil {
		return err
	}
	config.ServerName, config.MaxVersion = serverName, tls.VersionTLS12 // and the roots are those on the SIM
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(y.world.CA.Anchors())
	clients.AppendCertsFromPEM(y.world.CA.Issuers())
	y.mu.Lock()
	own := y.own
	y.mu.Unlock()
	server := tls.Server(a, &tls.Config{
		Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		VerifyConnection: func(s tls.ConnectionState) error { return y.accepts(s.PeerCertificates[0]) },
	})
	go func() { served <- server.HandshakeContext(y.t.Context()) }()
	client := tls.Client(b, config)
	return both(b, client.HandshakeContext(y.t.Context()), served)
}

// both waits for the server's end of a handshake, whose client has come to its own.
func both(line net.Conn, client error, served <-chan error) error {
	if client != nil {
		line.Close() // it may have said nothing
	}
	return errors.Join(client, <-served)
}

func (y *years) credentials() []api.Credential {
	page, err := y.world.Life.Credentials(y.t.Context(), credential.Filter{ICCID: someICCID}, "", 100)
	if err != nil {
		y.t.Error(err)
	}
	return page.Items
}

func (y *years) accepts(leaf *x509.Certificate) error {
	for _, c := range y.credentials() {
		if bytes.Equal(c.Certificate, leaf.Raw) && c.State.Accepted() {
			return nil
		}
	}
	return errors.New("this certificate is not accepted")
}

func (y *years) secretOf(ctx context.Context, identity []byte) (psktls.Key, error) {
	for _, c := range y.credentials() {
		if c.Identity == string(identity) && c.State.Accepted() && time.Now().Before(c.NotAfter) {
			secret, err := y.world.PSK(ctx, c.ID)
			return psktls.SecretKey(secret), err
		}
	}
	return nil, psktls.ErrUnknownIdentity
}
