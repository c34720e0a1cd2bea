package mosquitto_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/beside"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/appserver/mosquitto"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

const patience = servertest.Patience

// rig is a platform, a middleware, an adapter and a real broker.
type rig struct {
	*platformtest.Platform
	*servertest.Server
	dir    string
	listen string // for certificates
	psk    string // for PSKs
	pid    string
	broker *realparts.Process
}

// newRig starts all but an adapter; what it starts ends with the test.
func newRig(t *testing.T, changes ...func(*appserver.Options)) *rig {
	t.Helper()
	// A socket's name is short, and the name of a test's own directory is not.
	dir, err := os.MkdirTemp("", "mosq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := platformtest.New(t)
	r := &rig{
		Platform: p, Server: servertest.Open(t, p, changes...), dir: dir,
		listen: realparts.FreeAddress(t), psk: realparts.FreeAddress(t), pid: filepath.Join(dir, "broker.pid"),
	}
	if err := r.adapter(t).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.CA.Write(t, dir, "root.crt", "server.crt", "server.key"); err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	config, err := mosquitto.Config(mosquitto.ConfigOptions{
		Dir: dir, Listen: r.listen, PSKListen: r.psk, Certificate: r.in("server.crt"), Key: r.in("server.key"), PIDFile: r.pid, User: me.Username,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.in("mosquitto.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	return r
}

func (r *rig) in(name string) string { return filepath.Join(r.dir, name) }

// start starts the broker and waits until all its listeners answer.
func (r *rig) start(t *testing.T) {
	t.Helper()
	r.broker = realparts.Start(t, "mosquitto", "-v", "-c", r.in("mosquitto.conf"))
	r.broker.WaitLog(`mosquitto version \S+ running`)
}

// adapter makes another adapter for the broker.
func (r *rig) adapter(t *testing.T) *beside.Keeper {
	t.Helper()
	a, err := mosquitto.New(mosquitto.Options{
		Middleware: r.Middleware, Platform: r.Client, Dir: r.dir, PSK: true, PID: mosquitto.PIDFile(r.pid), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// run runs an adapter until it is stopped, at the latest at the end of the test.
func (r *rig) run(t *testing.T) (stop func()) {
	t.Helper()
	return servertest.Run(t, r.adapter(t).Run)
}

func TestConfigRefusesWhatTheBrokerWouldMisread(t *testing.T) {
	good := mosquitto.ConfigOptions{Dir: "/d", Listen: "127.0.0.1:1", Certificate: "/c", Key: "/k", PIDFile: "/p"}
	if _, err := mosquitto.Config(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*mosquitto.ConfigOptions){
		"relative path": func(o *mosquitto.ConfigOptions) { o.Dir = "d" },
		"second line":   func(o *mosquitto.ConfigOptions) { o.Key = "/k\nallow_anonymous true" },
		"no port":       func(o *mosquitto.ConfigOptions) { o.Listen = "localhost" },
		"user":          func(o *mosquitto.ConfigOptions) { o.User = "a b" },
	} {
		o := good
		spoil(&o)
		if _, err := mosquitto.Config(o); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestAPIDFileOfAnotherProcessIsNotBelieved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	for name, text := range map[string]string{"ourselves": fmt.Sprint(os.Getpid()), "rubbish": "x", "init": "1", "none": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, err := mosquitto.PIDFile(path)(); err == nil {
			t.Errorf("%s: got %d", name, pid)
		}
	}
}

func TestTheAdapterWaitsForABrokerThatStartsLater(t *testing.T) {
	r := newRig(t)
	r.broker.Stop()
	os.Remove(r.in("control.sock"))
	r.run(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	r.SetCredential(sim.Credential, api.Revoked)
	r.start(t)
	realparts.WaitUntil(t, "the revoked device is refused", func() error {
		d, err := connect(r.byCertificate(sim))
		if err != nil {
			return nil
		}
		d.Disconnect(0)
		return errors.New("was let in")
	})
}
