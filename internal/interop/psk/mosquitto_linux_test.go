package psk

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

// mosquittoSuites are those of OpenSSL's that Mosquitto can use: it gives OpenSSL its keys for SHA-256 in TLS 1.3, and
// leaves OpenSSL's list for TLS 1.3 as it is, in which there is no CCM.
func mosquittoSuites() []peerSuite {
	return slices.DeleteFunc(slices.Clone(opensslSuites), func(s peerSuite) bool {
		return slices.Contains([]uint16{psktls.TLS_AES_256_GCM_SHA384, psktls.TLS_AES_128_CCM_SHA256, psktls.TLS_AES_128_CCM_8_SHA256}, s.id)
	})
}

func TestMosquittoTakesOurKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(file, []byte(identity+":"+pskHex+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, _ := realparts.Mosquitto(t, "psk_file "+file+"\npsk_hint simroot\nuse_identity_as_username true\nallow_anonymous false\nciphers PSK:@SECLEVEL=0\n")
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, mosquittoSuites(), func(t *testing.T, suite peerSuite) {
			config := only(at.client(), suite.id)
			c, err := dial(t, addr, config)
			if err != nil {
				t.Fatal(err)
			}
			// CONNECT of MQTT 3.1.1, clean session, without a name; CONNACK, accepted.
			if _, err := c.Write([]byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 0}); err != nil {
				t.Fatal(err)
			}
			var answer [4]byte
			if _, err := io.ReadFull(c, answer[:]); err != nil || answer != [4]byte{0x20, 2, 0, 0} {
				t.Errorf("CONNACK % X, %v", answer, err)
			}
			c.Close()

			config.Key = psktls.SecretKey([]byte("another key altogether"))
			if _, err := dial(t, addr, config); err == nil {
				t.Error("Mosquitto takes a wrong key")
			}
		})
	})
}
