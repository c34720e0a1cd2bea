package natscallout_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/appserver/natscallout"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/testlog"
)

func TestMain(m *testing.M) { realparts.Main(m, "github.com/nats-io/nats-server/v2") }

const patience = servertest.Patience

// scene is a platform, a real NATS server, and the callout between them.
type scene struct {
	*testing.T
	platform *platformtest.Platform
	dir      string
	address  string
	config   string
	nats     *realparts.Process
	server   *servertest.Server
	log      *testlog.Log
	stop     func() // the callout

	connections int // of the callout, so far
}

func begin(t *testing.T, p natscallout.Permissions) *scene {
	t.Helper()
	s := &scene{T: t, platform: platformtest.New(t), dir: t.TempDir(), log: testlog.New(t)}
	if err := s.platform.CA.Write(t, s.dir, "root.pem", "server.pem", "server.key"); err != nil {
		t.Fatal(err)
	}
	s.address = realparts.FreeAddress(t)
	config, err := natscallout.Config(natscallout.ConfigOptions{
		Dir: filepath.Join(s.dir, "nats"), Listen: s.address, Certificate: filepath.Join(s.dir, "server.pem"), Key: filepath.Join(s.dir, "server.key"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.config = filepath.Join(s.dir, "nats.conf")
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.startCallout(p)
	s.startNATS()
	return s
}

func (s *scene) startNATS() {
	s.Helper()
	s.nats = realparts.Start(s, realparts.Binary(s, "nats-server"), "-c", s.config)
	s.nats.WaitLog("Server is ready")
	s.awaitCallout()
}

// awaitCallout waits until the callout has connected once more.
func (s *scene) awaitCallout() {
	s.Helper()
	s.connections++
	s.log.AwaitLines(s, s.connections, "connected to NATS")
}

// startCallout starts a middleware of its own with the callout.
func (s *scene) startCallout(p natscallout.Permissions) {
	s.Helper()
	s.server = servertest.Open(s, s.platform)
	c, err := natscallout.New(natscallout.Options{
		Middleware: s.server.Middleware, Platform: s.platform.Client, URL: "tls://" + s.address, Dir: filepath.Join(s.dir, "nats"),
		Permissions: p, Logger: s.log.Logger(),
	})
	if err != nil {
		s.Fatal(err)
	}
	if err := c.Prepare(s.Context()); err != nil {
		s.Fatal(err)
	}
	server, stop := s.server, servertest.Run(s, c.Run)
	s.stop = func() {
		stop()
		server.Close()
	}
}

// device connects a SIM once the callout is connected too.
func (s *scene) device(sim platformtest.SIM, options ...nats.Option) (*nats.Conn, error) {
	s.Helper()
	s.server.InStep(s)
	return s.dial(sim.Certificate, append(options, nats.CustomInboxPrefix("_INBOX."+sim.ICCID))...)
}

func (s *scene) dial(certificate tls.Certificate, options ...nats.Option) (*nats.Conn, error) {
	s.Helper()
	conn, err := nats.Connect("tls://"+s.address, append([]nats.Option{
		nats.Secure(&tls.Config{RootCAs: s.platform.CA.Roots, Certificates: []tls.Certificate{certificate}}), nats.NoReconnect(),
		nats.Timeout(patience),
	}, options...)...)
	if err == nil {
		s.Cleanup(conn.Close)
	}
	return conn, err
}

// connect is device that must succeed, when the callout has had its time.
func (s *scene) connect(sim platformtest.SIM, options ...nats.Option) *nats.Conn {
	s.Helper()
	var conn *nats.Conn
	realparts.WaitFor(s, "a SIM to be let in", func() (in bool) {
		var err error
		conn, err = s.device(sim, options...)
		return err == nil
	})
	return conn
}

// app connects the application.
func (s *scene) app() *nats.Conn {
	s.Helper()
	keys := filepath.Join(s.dir, "nats", "keys")
	certificate, err := tls.LoadX509KeyPair(filepath.Join(keys, "local-tls.crt"), filepath.Join(keys, "local-tls.key"))
	if err != nil {
		s.Fatal(err)
	}
	key, err := nats.NkeyOptionFromSeed(filepath.Join(keys, "app.nk"))
	if err != nil {
		s.Fatal(err)
	}
	conn, err := s.dial(certificate, key)
	if err != nil {
		s.Fatal(err)
	}
	return conn
}

// closed waits for the end of a connection.
func (s *scene) closed(conn *nats.Conn) {
	s.Helper()
	realparts.WaitFor(s, "the end of a session", conn.IsClosed)
}

func TestASIMSpeaksUnderItsOwnSubjectsAndNoOthers(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	one, other := s.platform.Provision(t, platformtest.ICCID(1)), s.platform.Provision(t, platformtest.ICCID(2))
	denied := make(chan error, 10)
	device := s.connect(one, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	app := s.app()
	heard, err := app.SubscribeSync("devices.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"devices." + other.ICCID + ".meter", "devices.x", "$SYS.REQ.USER.AUTH", "_INBOX." + one.ICCID + ".x", "devices." + one.ICCID + ".meter"} {
		if err := device.Publish(subject, []byte("23 kWh")); err != nil {
			t.Fatal(err)
		}
	}
	message, err := heard.NextMsg(patience)
	if err != nil || message.Subject != "devices."+one.ICCID+".meter" {
		t.Fatalf("the application hears %v, %v", message, err)
	}
	for range 4 {
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("something was not denied")
		}
	}
	for _, subject := range []string{"devices.*.meter", "devices.>", ">", "_INBOX.>", "devices." + other.ICCID + ".>"} {
		if _, err := device.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatalf("listening to %s was not denied", subject)
		}
	}

	// A device answers what it is asked, and asks.
	if _, err := device.Subscribe("devices."+one.ICCID+".read", func(m *nats.Msg) { m.Respond([]byte("24 kWh")) }); err != nil { //nolint:errcheck // the application will tell
		t.Fatal(err)
	}
	if err := device.Flush(); err != nil {
		t.Fatal(err)
	}
	if answer, err := app.Request("devices."+one.ICCID+".read", nil, patience); err != nil || string(answer.Data) != "24 kWh" {
		t.Errorf("the device answers %v, %v", answer, err)
	}
	if _, err := app.Subscribe("devices.*.time", func(m *nats.Msg) { m.Respond([]byte("noon")) }); err != nil { //nolint:errcheck // the device will tell
		t.Fatal(err)
	}
	if err := app.Flush(); err != nil {
		t.Fatal(err)
	}
	if answer, err := device.Request("devices."+one.ICCID+".time", nil, patience); err != nil || string(answer.Data) != "noon" {
		t.Errorf("the application answers %v, %v", answer, err)
	}
}

func TestFleetsAndICCIDsAreFilledIntoSubjects(t *testing.T) {
	s := begin(t, natscallout.Permissions{Publish: []string{"{fleet}.{iccid}.up"}})
	sim := s.platform.Provision(t, platformtest.ICCID(1))
	denied := make(chan error, 10)
	device := s.connect(sim, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	heard, err := s.app().SubscribeSync("meters.*.up")
	if err != nil {
		t.Fatal(err)
	}
	realparts.WaitFor(t, "a message", func() bool {
		device.Publish("meters."+sim.ICCID+".up", nil) //nolint:errcheck // what is waited for
		_, err := heard.NextMsg(50 * time.Millisecond)
		return err == nil
	})
	if _, err := device.SubscribeSync("meters." + sim.ICCID + ".up"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-denied:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("listening, which nobody was given, is not denied")
	}
}

func TestARevokedOrSuspendedSIMIsRefusedAndItsSessionsEnd(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	one, other := s.platform.Provision(t, platformtest.ICCID(1)), s.platform.Provision(t, platformtest.ICCID(2))
	bystander := s.platform.Provision(t, platformtest.ICCID(3))
	first, second, third, fourth := s.connect(one), s.connect(one), s.connect(other), s.connect(bystander)
	app := s.app()
	began := time.Now()
	s.platform.SetCredential(one.Credential, api.Revoked)
	s.closed(first)
	s.closed(second)
	t.Logf("closed after %s", time.Since(began).Round(time.Millisecond))
	if _, err := s.device(one); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("revoked: %v", err)
	}
	if !s.log.Says("credential is revoked") {
		t.Error("the log does not say why")
	}
	s.platform.SetSIM(other.ICCID, api.Suspended)
	s.closed(third)
	if _, err := s.device(other); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("suspended: %v", err)
	}
	s.platform.SetSIM(other.ICCID, api.Provisioned)
	s.connect(other)
	if err := fourth.Flush(); err != nil {
		t.Errorf("the bystander: %v", err)
	}
	if err := app.Flush(); err != nil {
		t.Errorf("the application: %v", err)
	}
}

func TestNobodyElseIsLetIn(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	sim := s.platform.Provision(t, platformtest.ICCID(1))
	s.connect(sim)
	for name, certificate := range map[string]tls.Certificate{
		"a SIM that the platform does not know": s.platform.CA.Device(t, platformtest.ICCID(9)),
		"a SIM of another CA":                   platformtest.NewCA(t).Device(t, sim.ICCID),
		"nobody":                                {},
	} {
		if _, err := s.dial(certificate); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
	keys := filepath.Join(s.dir, "nats", "keys")
	local, err := tls.LoadX509KeyPair(filepath.Join(keys, "local-tls.crt"), filepath.Join(keys, "local-tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.dial(local); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("the local certificate without a key of NATS: %v", err)
	}
}

func TestWhoWasRevokedWhileTheMiddlewareWasAwayIsFoundAndEnded(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	one, other := s.platform.Provision(t, platformtest.ICCID(1)), s.platform.Provision(t, platformtest.ICCID(2))
	gone, stays := s.connect(one), s.connect(other)
	app := s.app()
	s.stop()
	s.platform.SetCredential(one.Credential, api.Revoked)
	if err := gone.Flush(); err != nil {
		t.Fatal(err)
	}
	s.startCallout(natscallout.Permissions{})
	s.awaitCallout()
	s.closed(gone)
	if err := errors.Join(stays.Flush(), app.Flush()); err != nil {
		t.Error(err)
	}
	s.platform.SetCredential(other.Credential, api.Revoked) // it is tracked again
	s.closed(stays)
}

func TestSIMsComeBackWhenNATSIsStartedAnew(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	sim := s.platform.Provision(t, platformtest.ICCID(1))
	device := s.connect(sim)
	s.nats.Stop()
	s.closed(device)
	s.startNATS()
	device = s.connect(sim)
	s.platform.SetCredential(sim.Credential, api.Revoked)
	s.closed(device)
}

func TestACARolloverReachesNATSWhileItRuns(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	bystander := s.connect(s.platform.Provision(t, platformtest.ICCID(1)))
	replaced := s.platform.Provision(t, platformtest.ICCID(3))
	old := s.connect(replaced)
	s.platform.SetCredential(replaced.Credential, api.Superseded)
	next := platformtest.NewCA(t)
	s.platform.Publish(next)
	s.server.InStep(t)
	s.stop() // the files are fetched when the middleware starts, and every ten minutes
	s.startCallout(natscallout.Permissions{})
	s.awaitCallout()
	s.nats.WaitLog("Reloaded server configuration")
	s.connect(s.platform.ProvisionBy(t, next, platformtest.ICCID(2)))
	if err := bystander.Flush(); err != nil {
		t.Errorf("the bystander: %v", err)
	}
	if err := old.Flush(); err != nil {
		t.Errorf("with a credential that was replaced: %v", err)
	}
}

func TestKeysOfAnotherServerAreSaid(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	sim := s.platform.Provision(t, platformtest.ICCID(1))
	s.connect(sim)
	s.nats.Stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	other, err := natscallout.MakeKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mine, err := natscallout.MakeKeys(filepath.Join(s.dir, "nats"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(mine.Curve), []byte(other.Curve))
	text = bytes.ReplaceAll(text, []byte("timeout: 5"), []byte("timeout: 1")) // that is how long each refusal takes
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.startNATS()
	if _, err := s.device(sim); err == nil {
		t.Error("was let in")
	}
	realparts.WaitFor(t, "the reason in the log", func() bool {
		s.device(sim) //nolint:errcheck // refused
		return s.log.Says("do server and callout have the same configuration?")
	})
}

func TestASIMOnAnotherServerOfTheClusterIsLetInAndCutOff(t *testing.T) {
	s := begin(t, natscallout.Permissions{})
	sim, other := s.platform.Provision(t, platformtest.ICCID(1)), s.platform.Provision(t, platformtest.ICCID(2))
	s.nats.Stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	here := s.address
	routes := []string{realparts.FreeAddress(t), realparts.FreeAddress(t)}
	cluster := func(own, peer string) []byte {
		return fmt.Appendf(nil, "cluster { name: all, listen: %q, routes: [ %q ] }\n", own, "nats://"+peer)
	}
	there := realparts.FreeAddress(t)
	if err := os.WriteFile(s.config, append(bytes.Clone(text), cluster(routes[0], routes[1])...), 0o600); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(s.dir, "second.conf")
	if err := os.WriteFile(second, append(bytes.ReplaceAll(text, []byte(here), []byte(there)), cluster(routes[1], routes[0])...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.startNATS()
	remote := realparts.Start(t, realparts.Binary(t, "nats-server"), "-c", second)
	remote.WaitLog("Route connection created")

	s.address = there
	first, last := s.connect(sim), s.connect(other)
	s.platform.SetCredential(sim.Credential, api.Revoked)
	s.closed(first)

	// What was there before the callout is found, there too.
	s.stop()
	s.platform.SetCredential(other.Credential, api.Revoked)
	s.address = here
	s.startCallout(natscallout.Permissions{})
	s.awaitCallout()
	s.closed(last)
}
