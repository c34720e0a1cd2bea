//go:build interop && linux

package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/explain"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

// patience is how long wolfSSL's client may take. After each command it waits half a
// second for silence on the line, and there are some sixty of them.
const patience = 3 * time.Minute

// wolfSSLClient is wolfSSL's example client, which scripts/wolfssl builds.
func wolfSSLClient(t *testing.T) string {
	t.Helper()
	client := os.Getenv("SIMROOT_WOLFSSL")
	if client == "" {
		t.Fatal("SIMROOT_WOLFSSL does not name wolfSSL's client: run make interop, which builds it")
	}
	return client
}

// identity is a key and a certificate that it has signed for itself. A server's is its
// own CA too, as the device's trust anchor is taken for one.
type identity struct {
	key         *ecdsa.PrivateKey
	certificate []byte // DER
}

func newIdentity(t *testing.T, name string, ca bool) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: ca,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if ca {
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{key, der}
}

// files writes certificate and key for OpenSSL.
func (i identity) files(t *testing.T, dir, name string) (certificate, key string) {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	write(t, certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return certificate, key
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// simProfile is the card that wolfSSL's Raspberry Pi client wants: the "common" one, with
// the client's key and certificate on it and the certificate of the server it trusts.
const simProfile = `type: 1
keys:
- {private: "01", public: "01", label: client, type: p256, functions: [sign], signatures: [ecdsa], hashes: [sha256], scalar: "%X"}
- {private: "04", public: "04", label: ephemeral, type: p256-volatile, functions: [generate, agree], agreement: [ecka]}
- {public: "05", label: peer, type: p256-volatile, functions: [sign, agree], signatures: [ecdsa], hashes: [sha256], agreement: [ecka], access: [read, update]}
secrets:
- {id: "21", label: unused}
files:
- {id: "02", label: client, usage: certificate, capacity: 2048, hex: "%X"}
- {id: "03", label: server, usage: certificate, capacity: 2048, hex: "%X"}
`

// modemWithSIM puts a SIM into a modem and returns the modem's device: simroot as a
// process of its own.
func modemWithSIM(t *testing.T, client identity, trusted []byte) string {
	t.Helper()
	// The client copies the name of the device to 30 bytes without looking.
	dir, err := os.MkdirTemp("/tmp", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	scalar, err := client.key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	simroot, image, device := realparts.Binary(t, "simroot"), filepath.Join(dir, "sim"), filepath.Join(dir, "m")
	profile := filepath.Join(dir, "wolfssl.yaml")
	write(t, profile, fmt.Appendf(nil, simProfile, scalar, client.certificate, trusted))
	realparts.Run(t, simroot, "card", "new", "--profile", profile, "--iccid", "89882119900000000009", "--out", image)
	realparts.Start(t, simroot, "card", "run", image, "--modem", device).WaitLog("is in the modem at")
	return device
}

// server starts OpenSSL's server, which wants a client certificate that it knows, speaks
// TLS 1.3 with what wolfSSL's applet commands can do, and answers each line backwards.
func server(t *testing.T, own identity, clients []byte) (port string, p *realparts.Process) {
	t.Helper()
	dir := t.TempDir()
	certificate, key := own.files(t, dir, "server")
	known := filepath.Join(dir, "clients.crt")
	write(t, known, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: clients}))
	address, p := realparts.OpenSSLServer(t, "-tls1_3", "-groups", "P-256", "-ciphersuites", "TLS_AES_128_GCM_SHA256",
		"-cert", certificate, "-key", key, "-CAfile", known, "-Verify", "1", "-verify_return_error", "-rev")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port, p
}

// run lets wolfSSL's client connect and returns all that it printed.
func run(t *testing.T, port, device string) string {
	t.Helper()
	p := realparts.Start(t, wolfSSLClient(t), "-ip", "127.0.0.1", "-h", "localhost", "-p", port, "-t", "25", "-d", device)
	p.WaitUpTo(patience) // its exit code says nothing
	return p.Output()
}

// Lines that the client prints.
const (
	handshaking = "Start TLS 1.3 handshaking"
	established = "wolfSSL TLS 1.3 connection established"
)

// wolfSSL's own TLS client does mutual TLS 1.3 with all its cryptography in our SIM: it
// reads the certificates, makes the ephemeral key, agrees on the secret, extracts, verifies the
// server and signs. OpenSSL at the other end accepts it, and data flows both ways.
func TestWolfSSLConnectsWithTheSIM(t *testing.T) {
	own, peer := newIdentity(t, "device", false), newIdentity(t, "server", true)
	port, s := server(t, peer, own.certificate)
	modem := modemWithSIM(t, own, peer.certificate)
	printed := run(t, port, modem)
	if !strings.Contains(printed, established) {
		t.Fatal("wolfSSL's client did not establish a connection")
	}
	if want := reversed("POST /iot/device HTTP/1.1"); !strings.Contains(printed, want) {
		t.Errorf("wolfSSL's client did not receive %q", want)
	}
	if !strings.Contains(s.Output(), "CN = device") {
		t.Error("OpenSSL does not name the SIM's certificate")
	}

	exchanges := conversation(t, printed)
	start, shaking := exchanges.before(handshaking), exchanges.between(handshaking, established)
	t.Logf("wolfSSL: %d commands to start, %d in the handshake, %d applet commands among them:\n%s",
		start.commands(), shaking.commands(), shaking.commands()-shaking.count("GET RESPONSE"), shaking.table())
	inTheTable(t, fmt.Sprintf("%d commands to start, %d in the handshake", start.commands(), shaking.commands()))
	ourStart, ourHandshake := ours(t, modem, port)
	t.Logf("simroot, on the same SIM: %d exchanges to start, %d in the handshake", ourStart, ourHandshake)
	if ourHandshake != 2 {
		t.Errorf("simroot's handshake takes %d exchanges, want 2", ourHandshake)
	}
	for name, want := range map[string]int{
		"GENERATE KEY PAIR": 1, "COMPUTE DH": 1, "COMPUTE SIGNATURE UPDATE": 1, "VERIFY SIGNATURE UPDATE": 1,
	} {
		if got := shaking.count(name); got < want {
			t.Errorf("%d %s in the handshake: it is not the SIM that does it", got, name)
		}
	}
}

// inTheTable holds the table of costs to what was counted here.
func inTheTable(t *testing.T, count string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), count) {
		t.Errorf("docs/benchmarks.md does not say %q of wolfSSL: change the row in internal/bench", count)
	}
}

// The judge can condemn: a server whose certificate is not the one on the SIM is refused.
func TestWolfSSLRefusesAnotherServer(t *testing.T) {
	own, trusted, other := newIdentity(t, "device", false), newIdentity(t, "server", true), newIdentity(t, "server", true)
	port, _ := server(t, other, own.certificate)
	if printed := run(t, port, modemWithSIM(t, own, trusted.certificate)); strings.Contains(printed, established) {
		t.Fatal("wolfSSL's client accepts a server that the SIM does not know")
	} else if !strings.Contains(printed, handshaking) {
		t.Fatal("wolfSSL's client did not get to the handshake")
	}
}

func reversed(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

// said is what client and card said to each other, and the client to us, in order.
type said []remark

type remark struct {
	text    string // of a line to us
	command string // name of a command to the card
}

// line is a line that the client prints of what passes on the serial line, or of anything
// else.
var line = regexp.MustCompile(`^\[(WRITE|READ) in CHAR\] *[-<>]+ *(.*)$`)

// csim is a command or an answer on the serial line.
var csim = regexp.MustCompile(`\+CSIM[=:] *\d+, *"([0-9A-Fa-f]+)"`)

// conversation reads what the client printed, and holds explain to it: it has to know
// every command and answer.
func conversation(t *testing.T, printed string) said {
	t.Helper()
	s := explain.New(explain.Options{})
	var all said
	for text := range strings.Lines(printed) {
		text = strings.TrimSpace(text)
		m := line.FindStringSubmatch(text)
		if m == nil {
			all = append(all, remark{text: text})
			continue
		}
		apdu := csim.FindStringSubmatch(m[2])
		if apdu == nil {
			continue
		}
		b, err := hex.DecodeString(apdu[1])
		if err != nil {
			t.Fatal(err)
		}
		step := explain.Step{Kind: explain.Command, Bytes: b}
		if m[1] == "READ" {
			step.Kind = explain.Answer
		}
		e := s.Explain(step)
		if e.Unknown() {
			t.Errorf("explain does not know all of\n%s", e)
		}
		if !e.Answer {
			all = append(all, remark{command: e.Name})
		}
	}
	return all
}

func (s said) find(text string) int {
	return slices.IndexFunc(s, func(r remark) bool { return strings.Contains(r.text, text) })
}

func (s said) before(text string) said { return s[:max(0, s.find(text))] }

func (s said) between(begin, end string) said {
	return s[max(0, s.find(begin)):max(0, s.find(end))]
}

func (s said) commands() int {
	n := 0
	for _, r := range s {
		if r.command != "" {
			n++
		}
	}
	return n
}

func (s said) count(name string) int {
	n := 0
	for _, r := range s {
		if r.command == name {
			n++
		}
	}
	return n
}

func (s said) table() string {
	var names []string
	for _, r := range s {
		if r.command != "" && !slices.Contains(names, r.command) {
			names = append(names, r.command)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%3d %s\n", s.count(name), name)
	}
	return b.String()
}
