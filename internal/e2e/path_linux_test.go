package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"

	_ "github.com/simroot/simroot/card/pcsc"
	_ "github.com/simroot/simroot/vsim"
)

const (
	inReader = "89882119900000000017" // this SIM sits in the reader
	inFile   = "89882119900000000025" // and this one is opened by the test
)

// path is the whole system in separate processes: platform, reader daemon, virtual SIM
// behind it, broker, and the middleware beside the broker.
type path struct {
	t        *testing.T
	dir      string
	platform []string // how a command reaches the platform
	admin    []string // and with a token
	sims     map[string]string
	broker   string
}

// simroot runs the command to its end and returns what it printed.
func (p *path) simroot(args ...string) string {
	p.t.Helper()
	return realparts.Run(p.t, realparts.Binary(p.t, "simroot"), args...)
}

// start runs the command beside the test.
func (p *path) start(args ...string) *realparts.Process {
	p.t.Helper()
	return realparts.Start(p.t, realparts.Binary(p.t, "simroot"), args...)
}

func (p *path) in(name string) string { return filepath.Join(p.dir, name) }

// with puts flags behind a command line.
func with(flags []string, args ...string) []string { return append(args, flags...) }

// startPlatform starts the platform and learns its address and first token.
func (p *path) startPlatform() {
	p.t.Helper()
	serving := p.start("platform", "serve", "--data", p.in("platform"), "--listen", "127.0.0.1:0")
	token := serving.WaitLog(`shown this once: (\S+)`)[1]
	url := serving.WaitLog(`Serving on (\S+)`)[1]
	p.write("token", token)
	p.platform = []string{"--platform", url, "--ca", p.in("platform/ca.pem")}
	p.admin = append([]string{"--token-file", p.in("token")}, p.platform...)
}

func (p *path) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(p.in(name), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// makeSIMs makes two virtual SIMs and imports their keys.
func (p *path) makeSIMs() {
	p.t.Helper()
	p.simroot(with(p.admin, "platform", "fleets", "create", "meters")...)
	key := strings.TrimSpace(p.simroot(with(p.platform, "platform", "transport-key")...))
	for _, iccid := range []string{inReader, inFile} {
		p.sims[iccid] = p.in(iccid + ".sim")
		p.simroot("card", "new", "--profile", "common", "--iccid", iccid, "--out", p.sims[iccid], "--keys", p.in("batch"), "--transport-key", key)
	}
	p.simroot(with(p.admin, "platform", "sims", "import", p.in("batch"), "--fleet", "meters")...)
}

// startBroker starts Mosquitto with the middleware beside it.
func (p *path) startBroker() {
	p.t.Helper()
	p.simroot(with(p.admin, "platform", "servers", "issue", "127.0.0.1", "--out", p.in("broker"))...)
	p.write("broker.token", p.simroot(with(p.admin, "platform", "tokens", "create", "broker", "--role", "appserver")...))
	live, pid := p.in("broker/live"), p.in("broker/pid")
	p.start(with(p.platform, "appserver", "serve", "--token-file", p.in("broker.token"),
		"--data", p.in("replica"), "--mosquitto", live, "--mosquitto-pid", pid)...).WaitLog("Following")
	p.broker = realparts.FreeAddress(p.t)
	p.write("mosquitto.conf", p.simroot("appserver", "mosquitto-config", "--dir", live, "--listen", p.broker, "--user", "root",
		"--cert", p.in("broker/server.crt"), "--key", p.in("broker/server.key"), "--pid", pid))
	realparts.Start(p.t, "mosquitto", "-v", "-c", p.in("mosquitto.conf")).WaitLog(`mosquitto version \S+ running`)
}

// session is an MQTT session whose TLS key is in a SIM.
type session struct {
	paho.Client
	lost chan error
}

func (p *path) connect(d *device.Device) (*session, error) {
	config, err := d.TLSConfig(p.t.Context())
	if err != nil {
		return nil, err
	}
	s := &session{lost: make(chan error, 1)}
	s.Client = paho.NewClient(paho.NewClientOptions().
		AddBroker("ssl://" + p.broker).SetClientID(string(d.ICCID())).SetTLSConfig(config).
		SetAutoReconnect(false).SetConnectTimeout(realparts.Patience).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err }))
	return s, settle(s.Connect())
}

func settle(t paho.Token) error {
	if !t.WaitTimeout(realparts.Patience) {
		return fmt.Errorf("no answer within %s", realparts.Patience)
	}
	return t.Error()
}

func (p *path) open(uri string) *device.Device {
	p.t.Helper()
	d, err := device.Open(p.t.Context(), uri)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			p.t.Errorf("close %s: %v", uri, err)
		}
	})
	return d
}

// The whole path on real parts: a SIM behind a real reader daemon gets its credential
// from the platform, publishes through a real broker with its key, is accepted by
// OpenSSL, and is cut off when it is revoked, while another SIM goes on.
func TestTheWholePathOnRealParts(t *testing.T) {
	p := &path{t: t, dir: t.TempDir(), sims: map[string]string{}}
	p.startPlatform()
	p.makeSIMs()
	realparts.PCSCD(t)
	p.start("card", "run", p.sims[inReader], "--reader", realparts.VPCD)
	insertedCard(t)

	out := p.simroot(with(p.platform, "device", "onboard", "--card", "pcsc:")...)
	if !strings.Contains(out, inReader+" holds a new credential") {
		t.Fatalf("first switch-on says:\n%s", out)
	}
	if out := p.simroot(with(p.platform, "device", "onboard", "--card", "pcsc:")...); !strings.Contains(out, "already holds a good credential") {
		t.Fatalf("second switch-on says:\n%s", out)
	}
	if out := p.simroot("device", "status", "--card", "pcsc:"); !strings.Contains(out, "SERIALNUMBER="+inReader) {
		t.Fatalf("status does not show the SIM's certificate:\n%s", out)
	}
	p.simroot(with(p.platform, "device", "onboard", "--card", "vsim:"+p.sims[inFile])...)

	p.startBroker()
	reader, file := p.open("pcsc:"), p.open("vsim:"+p.sims[inFile])
	sender, err := p.connect(reader)
	if err != nil {
		t.Fatalf("the SIM in the reader is not let in: %v", err)
	}
	listener, err := p.connect(file)
	if err != nil {
		t.Fatalf("the SIM in the file is not let in: %v", err)
	}
	defer listener.Disconnect(100)
	heard := make(chan string, 8)
	if err := settle(listener.Subscribe("telemetry", 1, func(_ paho.Client, m paho.Message) { heard <- string(m.Payload()) })); err != nil {
		t.Fatal(err)
	}
	if err := settle(sender.Publish("telemetry", 1, false, "23.4 kWh")); err != nil {
		t.Fatal(err)
	}
	expect(t, heard, "23.4 kWh")

	t.Run("OpenSSL", func(t *testing.T) { p.acceptedByOpenSSL(t, reader) })

	p.simroot(with(p.admin, "platform", "sims", "revoke", inReader, "--reason", "privilegeWithdrawn")...)
	select {
	case <-sender.lost:
	case <-time.After(realparts.Patience):
		t.Fatal("the revoked SIM's session lives on")
	}
	if again, err := p.connect(reader); err == nil {
		again.Disconnect(0)
		t.Fatal("the revoked SIM is let in again")
	}
	if err := settle(listener.Publish("telemetry", 1, false, "I am still here")); err != nil {
		t.Fatal(err)
	}
	expect(t, heard, "I am still here")
}

func expect(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	select {
	case got := <-heard:
		if got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(realparts.Patience):
		t.Fatalf("did not hear %q", want)
	}
}

// acceptedByOpenSSL has openssl s_server demand and verify the certificate of the SIM.
func (p *path) acceptedByOpenSSL(t *testing.T, d *device.Device) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			address, _ := realparts.OpenSSLServer(t, "-CAfile", p.in("broker/live/ca.crt"), "-Verify", "4", "-verify_return_error",
				"-cert", p.in("broker/server.crt"), "-key", p.in("broker/server.key"), "-cert_chain", p.in("broker/server.crt"), "-rev")
			config, err := d.TLSConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			config.MinVersion, config.MaxVersion = version, version
			c, err := tls.Dial("tcp", address, config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("SIM\n")); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 4)
			if _, err := c.Read(answer); err != nil || string(answer) != "MIS\n" {
				t.Fatalf("OpenSSL answers %q, %v", answer, err)
			}
		})
	}
}
