package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

// tunnel is simroot device tunnel at work.
type tunnel struct {
	*realparts.Process
	local []string // addresses, in the order of the forwards
}

// startTunnel starts a tunnel with the SIM of a card URI, and learns its local addresses.
func startTunnel(t *testing.T, uri string, args ...string) *tunnel {
	t.Helper()
	p := realparts.Start(t, realparts.Binary(t, "simroot"), append([]string{"device", "tunnel", "--verbose", "--card", uri}, args...)...)
	tun := &tunnel{Process: p}
	for _, forward := range strings.Fields(p.WaitLog(`(?m)^ready (.*)$`)[1]) {
		_, rest, _ := strings.Cut(forward, ":")
		local, _, _ := strings.Cut(rest, "=")
		tun.local = append(tun.local, local)
	}
	return tun
}

// mqtt publishes with Mosquitto's client, without TLS.
func mqtt(t *testing.T, address string, args ...string) *realparts.Process {
	t.Helper()
	return realparts.Start(t, "mosquitto_pub", append([]string{"-d", "-h", "127.0.0.1", "-p", portOf(address), "-q", "1", "-t", "telemetry"}, args...)...)
}

func wantCode(t *testing.T, p *realparts.Process, what string, code int) {
	t.Helper()
	if got := p.Wait(); got != code {
		t.Fatalf("%s: exit code %d", what, got)
	}
}

// publishes sends a message from one plain client to another, each through a forward.
func (tun *tunnel) publishes(t *testing.T, from, to int, payload []byte) {
	t.Helper()
	file, got := filepath.Join(t.TempDir(), "payload"), filepath.Join(t.TempDir(), "got")
	if err := os.WriteFile(file, payload, 0o600); err != nil {
		t.Fatal(err)
	}
	sub := realparts.Start(t, "bash", "-c", fmt.Sprintf(`exec mosquitto_sub -h 127.0.0.1 -p %s -q 1 -t telemetry -C 1 -N >%s`, portOf(tun.local[to]), got))
	realparts.WaitFor(t, "the message to come through the tunnel", func() bool { // once the subscription stands
		wantCode(t, mqtt(t, tun.local[from], "-f", file), "mosquitto_pub", 0)
		b, err := os.ReadFile(got)
		return err == nil && bytes.Equal(b, payload)
	})
	wantCode(t, sub, "mosquitto_sub", 0)
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// A device that runs plain Mosquitto clients and a tunnel with several forwards: messages of any
// size, the broker started anew, the SIM taken out and put back, and in the end revoked.
func TestPlainMQTTClientsReachATLSBrokerThroughTheTunnel(t *testing.T) {
	p := &path{t: t, dir: t.TempDir(), sims: map[string]string{}}
	p.startPlatform()
	p.makeSIMs()
	p.simroot(with(p.platform, "device", "onboard", "--card", "vsim:"+p.sims[inFile])...)
	p.startBroker() // which allows one client for each SIM
	open := realparts.FreeAddress(t)
	p.write("open.conf", fmt.Sprintf("user root\nlistener %s 127.0.0.1\ncafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\nallow_anonymous true\n",
		portOf(open), p.in("broker/live/ca.crt"), p.in("broker/server.crt"), p.in("broker/server.key")))
	startOpen := func() *realparts.Process {
		broker := realparts.Start(t, "mosquitto", "-v", "-c", p.in("open.conf"))
		broker.WaitLog(`mosquitto version \S+ running`)
		return broker
	}
	broker := startOpen()

	slot := realparts.FreeAddress(t)
	insert := func() *realparts.Process {
		sim := p.start("card", "run", p.sims[inFile], "--listen", slot)
		sim.WaitLog("is at tcp:")
		return sim
	}
	sim := insert()
	tun := startTunnel(t, "tcp:"+slot, "--forward", "tcp:127.0.0.1:0="+open, "--forward", "0="+open, "--forward", "0="+p.broker, "--look", "100ms")
	tun.WaitLog("the SIM is here")
	megabyte := make([]byte, 1<<20)
	rand.Read(megabyte)
	tun.publishes(t, 0, 1, []byte("23.4 kWh"))
	tun.publishes(t, 1, 0, megabyte)
	broker.Stop()
	startOpen()
	tun.publishes(t, 0, 1, []byte("to the broker started anew"))

	sim.Stop()
	tun.WaitLog("the SIM is away")
	if code := mqtt(t, tun.local[0], "-m", "without a SIM").Wait(); code == 0 {
		t.Error("without its SIM a client was served")
	}
	tun.WaitLog("connection refused.*the SIM is away")
	insert()
	tun.WaitLog("(?s)the SIM is here.*the SIM is here")
	tun.publishes(t, 0, 1, []byte("back again"))
	if n := strings.Count(tun.Output(), "the SIM is away; it is used again"); n != 1 {
		t.Errorf("said %d times that the SIM is away", n)
	}

	wantCode(t, mqtt(t, tun.local[2], "-m", "the last"), "mosquitto_pub", 0)
	p.simroot(with(p.admin, "platform", "sims", "revoke", inFile, "--reason", "privilegeWithdrawn")...)
	realparts.WaitFor(t, "the broker to refuse the revoked SIM, and the tunnel to say so", func() bool {
		served := mqtt(t, tun.local[2], "-m", "revoked").Wait() == 0
		return !served && strings.Contains(tun.Output(), "the server refuses the SIM's credential: it may be revoked")
	})
	tun.Stop()
	wantCode(t, tun.Process, "the tunnel told to stop", 0)
}

// With --onboard a device needs one program only, which is all that a modem allows.
func TestATunnelCanBringItsSIMTheFirstCredentialToo(t *testing.T) {
	p := &path{t: t, dir: t.TempDir(), sims: map[string]string{}}
	p.startPlatform()
	p.makeSIMs()
	p.startBroker()
	tun := startTunnel(t, "vsim:"+p.sims[inFile], with(p.platform, "--onboard", "--forward", "0="+p.broker)...)
	tun.WaitLog("the SIM holds a good credential.*new=true")
	realparts.WaitFor(t, "the broker to let the SIM in", func() bool { return mqtt(t, tun.local[0], "-m", "23.4 kWh").Wait() == 0 })
}

func (p *path) read(name string) string {
	p.t.Helper()
	b, err := os.ReadFile(p.in(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// libcoaps are libcoap's servers over two DTLS stacks.
var libcoaps = []string{"openssl", "gnutls"}

// coapServer starts a CoAP server whose DTLS port is the one after.
func coapServer(t *testing.T, stack string, port int, args ...string) *realparts.Process {
	t.Helper()
	p := realparts.Start(t, "coap-server-"+stack, append([]string{"-A", "127.0.0.1", "-p", fmt.Sprint(port), "-e", "-d", "10", "-v", "7"}, args...)...)
	p.WaitLog(fmt.Sprintf(`127\.0\.0\.1:%d`, port+1))
	return p
}

// coap has a client without DTLS ask for something, and wants the answer.
func coap(t *testing.T, address, resource, want string, args ...string) {
	t.Helper()
	p := realparts.Start(t, "coap-client-notls", append(args, "-B", "15", "coap://"+address+"/"+resource)...)
	if code := p.Wait(); code != 0 || !strings.Contains(p.Output(), want) {
		t.Fatalf("exit code %d, %q", code, p.Output())
	}
}

// serves has a client ask, and put and get more than one datagram carries (RFC 7959).
func (tun *tunnel) serves(t *testing.T, n int) {
	t.Helper()
	coap(t, tun.local[n], ".well-known/core", "</>")
	large := filepath.Join(t.TempDir(), "large")
	text := strings.Repeat("0123456789abcdef", 512)
	if err := os.WriteFile(large, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	coap(t, tun.local[n], "large", "", "-m", "put", "-f", large)
	coap(t, tun.local[n], "large", text[:4096], "-m", "get")
}

func TestPlainCoAPClientsReachAServerWithThePSKInTheSIM(t *testing.T) {
	const key = "a key of 20 letters."
	for _, stack := range libcoaps {
		t.Run(stack, func(t *testing.T) {
			profile, sim := filepath.Join(t.TempDir(), "tag.yaml"), filepath.Join(t.TempDir(), "tag.sim")
			text := fmt.Sprintf("description: a tag\ntype: 2\nsecrets:\n- {id: \"21\", label: \"psk:tag 1\", hex: \"%s\"}\n", hex.EncodeToString([]byte(key)))
			if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			realparts.Run(t, realparts.Binary(t, "simroot"), "card", "new", "--profile", profile, "--iccid", inFile, "--out", sim)
			port := realparts.FreePorts(t)
			server := coapServer(t, stack, port, "-k", key)
			remote := fmt.Sprintf("127.0.0.1:%d", port+1)
			tun := startTunnel(t, "vsim:"+sim, "--forward", "udp:0="+remote)
			tun.serves(t, 0)

			// From one local address: the tunnel finds out that the server has forgotten the session.
			client := fmt.Sprint(realparts.FreePort(t))
			coap(t, tun.local[0], ".well-known/core", "</>", "-p", client)
			server.Signal(9)
			server.Wait()
			coapServer(t, stack, port, "-k", key)
			coap(t, tun.local[0], ".well-known/core", "</>", "-p", client)
		})
	}
}

func TestPlainCoAPClientsReachAServerWithTheCertificateInTheSIM(t *testing.T) {
	p := &path{t: t, dir: t.TempDir(), sims: map[string]string{}}
	p.startPlatform()
	p.makeSIMs()
	p.simroot(with(p.platform, "device", "onboard", "--card", "vsim:"+p.sims[inFile])...)
	p.startBroker() // for what servers need: their certificate, and the CAs of devices
	p.write("cas", p.read("broker/live/ca.crt")+p.read("broker/server.crt"))
	var forwards []string
	for _, stack := range libcoaps {
		port := realparts.FreePorts(t)
		coapServer(t, stack, port, "-c", p.in("broker/server.crt"), "-j", p.in("broker/server.key"), "-R", p.in("cas"))
		forwards = append(forwards, "--forward", fmt.Sprintf("udp:0=127.0.0.1:%d", port+1))
	}
	tun := startTunnel(t, "vsim:"+p.sims[inFile], forwards...)
	for n, stack := range libcoaps {
		t.Run(stack, func(t *testing.T) { tun.serves(t, n) })
	}
}

func TestTheUnitForSystemdIsSoundAndItsServiceLocked(t *testing.T) {
	soundUnit(t, "simroot-tunnel@.service", "simroot-tunnel@meter.service")
	// Type=notify: the service tells when its ports are open.
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := exec.Command(realparts.Binary(t, "simroot"), "device", "tunnel", "--card", "vsim:nowhere.sim", "--forward", "0=broker.example:8883")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket.LocalAddr().String())
	realparts.StartCmd(t, cmd).WaitLog("ready ")
	b := make([]byte, 100)
	if n, err := socket.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("%q, %v", b[:n], err)
	}
}
