package psk

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// libcoaps are libcoap's programs over two other DTLS stacks.
var libcoaps = []string{"openssl", "gnutls"}

// coapSuites are ours that every CoAP device has (RFC 7252, 9.1.3.1), and what the two agree on
// by themselves.
var coapSuites = map[string][]uint16{"CCM_8": {psktls.TLS_PSK_WITH_AES_128_CCM_8}, "any": nil}

// eachLibcoap runs a test with each stack, choice of suites and place of the secret.
func eachLibcoap(t *testing.T, test func(t *testing.T, p place, stack string, suites []uint16)) {
	everyPlace(t, func(t *testing.T, p place) {
		for _, stack := range libcoaps {
			for name, suites := range coapSuites {
				t.Run(stack+"/"+name, func(t *testing.T) { test(t, p, stack, suites) })
			}
		}
	})
}

func TestLibcoapClient(t *testing.T) {
	eachLibcoap(t, func(t *testing.T, at place, stack string, suites []uint16) {
		config := at.server()
		config.CipherSuites = suites
		l := listenDTLS(t, &dtls.Config{Config: *config})
		p := realparts.Start(t, "coap-client-"+stack, "-B", "10", "-u", identity, "-k", string(psk),
			fmt.Sprintf("coaps://%v/state", l.Addr()))
		c := acceptDTLS(t, l)
		request := make([]byte, 1500)
		n, err := c.Read(request)
		if err != nil || n < 4 || !bytes.Contains(request[:n], []byte("state")) {
			t.Fatalf("%q, %v", request[:n], err)
		}
		token := request[4 : 4+request[0]&15] // RFC 7252, 3
		answer := append([]byte{0x60 | byte(len(token)), 0x45, request[2], request[3]}, token...)
		if _, err := c.Write(append(append(answer, 0xFF), "all is well"...)); err != nil {
			t.Fatal(err)
		}
		if code := p.Wait(); code != 0 || !strings.Contains(p.Output(), "all is well") {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestLibcoapServer(t *testing.T) {
	eachLibcoap(t, func(t *testing.T, at place, stack string, suites []uint16) {
		port := realparts.FreePorts(t)
		p := realparts.Start(t, "coap-server-"+stack, "-A", "127.0.0.1", "-p", fmt.Sprint(port), "-k", string(psk), "-v", "7")
		p.WaitLog(fmt.Sprintf(`127\.0\.0\.1:%d`, port+1))
		config := at.client()
		config.CipherSuites = suites
		c, err := dialDTLS(t, fmt.Sprintf("127.0.0.1:%d", port+1), &dtls.Config{Config: *config})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("\x40\x01\x12\x34\xBB.well-known\x04core")); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1500)
		n, err := c.Read(answer)
		if err != nil || n < 4 || answer[1] != 0x45 || !bytes.Contains(answer[:n], []byte("</>")) {
			t.Errorf("%q, %v", answer[:n], err)
		}
	})
}
