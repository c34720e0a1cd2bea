package laws

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/vsim"
)

// countingSIM counts the commands that go to the SIM.
type countingSIM struct {
	*vsim.Card
	commands int
}

func (c *countingSIM) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.commands++
	return c.Card.Transmit(ctx, command)
}

// platformKey is the PSK of a credential as an application server uses it.
func (w *world) platformKey(credential string) psktls.Key {
	w.t.Helper()
	return psktls.SecretKey(w.pskOf(credential))
}

// pskOf fetches the PSK of a credential as an application server does: sealed.
func (w *world) pskOf(credential string) []byte {
	w.t.Helper()
	private, public, err := api.GenerateSealKey()
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.Admin.CreateToken(w.t.Context(), api.TokenRequest{Name: "server", Role: api.RoleAppServer, SealingKey: public})
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := w.Client(token.Secret)
	if err != nil {
		w.t.Fatal(err)
	}
	sealed, err := client.Secret(w.t.Context(), credential)
	if err != nil {
		w.t.Fatal(err)
	}
	psk, err := api.OpenSealed(private, credential, sealed.Sealed)
	if err != nil {
		w.t.Fatal(err)
	}
	return psk
}

// A Type II SIM opens TLS 1.2 and 1.3 with the PSK that the platform gave it, in one command,
// and the server knows it by the identity that the platform gave the credential.
func TestATypeIISIMSpeaksTLSWithItsPSK(t *testing.T) {
	w := newWorld(t)
	w.fleet("tags", api.Profile{Type: api.PSKType})
	sim := &countingSIM{Card: vsim.NewMemory(w.sims("tags", "type2", someICCID)[0])}
	done, err := w.onboard(sim)
	if err != nil {
		t.Fatal(err)
	}
	serverKey := w.platformKey(done.Credential.ID)
	d, err := device.New(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.PSK(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, plain := range []bool{false, true} {
			name := tls.VersionName(version)
			if plain {
				name += " without forward secrecy"
			}
			t.Run(name, func(t *testing.T) {
				a, b := net.Pipe()
				server := psktls.Server(a, &psktls.Config{AllowPSKOnly: true, GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
					if string(identity) != done.Credential.Identity {
						return nil, psktls.ErrUnknownIdentity
					}
					return serverKey, nil
				}})
				echoed := make(chan error, 1)
				go func() {
					_, err := io.Copy(server, server)
					echoed <- err
				}()
				config := &psktls.Config{Identity: []byte(done.Credential.Identity), Key: key, MinVersion: version, MaxVersion: version, AllowPSKOnly: plain}
				if plain && version == tls.VersionTLS12 {
					config.CipherSuites = []uint16{0x00A8} // TLS_PSK_WITH_AES_128_GCM_SHA256
				}
				client := psktls.Client(b, config)
				sim.commands = 0
				if err := client.HandshakeContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				if sim.commands != 1 {
					t.Errorf("the handshake cost the SIM %d commands, want one", sim.commands)
				}
				said := []byte("keys stay at home")
				if _, err := client.Write(said); err != nil {
					t.Fatal(err)
				}
				heard := make([]byte, len(said))
				if _, err := io.ReadFull(client, heard); err != nil || !bytes.Equal(heard, said) {
					t.Fatalf("heard %q, %v", heard, err)
				}
				if err := client.Close(); err != nil {
					t.Error(err)
				}
				if err := <-echoed; err != nil {
					t.Error(err)
				}
			})
		}
	}
}
