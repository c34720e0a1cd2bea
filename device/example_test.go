package device_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/device"
)

// open opens the SIM in the first reader; in a device with a modem it would be
// "modem:/dev/ttyUSB2".
func open(ctx context.Context, opts ...device.Option) *device.Device {
	sim, err := device.Open(ctx, "pcsc:", opts...)
	if err != nil {
		log.Fatal(err)
	}
	return sim
}

func ExampleDevice_TLSConfig() {
	ctx := context.Background()
	sim := open(ctx)
	defer sim.Close()
	config, err := sim.TLSConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "broker.example:8883", config)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
}

// The SIM checks servers too, and adds to the host's randomness.
func ExampleWithServerCheck() {
	ctx := context.Background()
	sim := open(ctx, device.WithServerCheck(), device.WithSIMRandom())
	defer sim.Close()
	config, err := sim.TLSConfig(ctx) // an error if the SIM cannot check servers
	if err != nil {
		log.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "broker.example:8883", config)
	if err != nil {
		log.Fatal(err) // errors.Is(err, device.ErrServerCheck) if the SIM said no
	}
	defer conn.Close()
}

// A device with CAs of its own starts with eight exchanges instead of twelve.
func ExampleWithCache() {
	ctx := context.Background()
	folder, err := os.UserCacheDir()
	if err != nil {
		log.Fatal(err)
	}
	ca, err := os.ReadFile("/etc/meter/ca.pem")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		log.Fatal("no certificate in /etc/meter/ca.pem")
	}
	sim := open(ctx, device.WithCache(filepath.Join(folder, "meter")), device.WithRoots(roots))
	defer sim.Close()
	config, err := sim.TLSConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "broker.example:8883", config)
	if err != nil {
		sim.Forget() // if the server refused the certificate, another program may have had it replaced
		log.Fatal(err)
	}
	defer conn.Close()
}

// A certificate request for a CA other than the platform's.
func ExampleDevice_CertificateRequest() {
	ctx := context.Background()
	sim := open(ctx)
	defer sim.Close()
	request, err := sim.CertificateRequest(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}); err != nil {
		log.Fatal(err)
	}
}

// A JSON Web Token, as services take it in place of a password that know the device's public
// key.
func ExampleDevice_Signer() {
	ctx := context.Background()
	sim := open(ctx)
	defer sim.Close()
	signer, err := sim.Signer(ctx)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"aud": "my-project", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	if err != nil {
		log.Fatal(err)
	}
	token, err := signer.JWS(map[string]any{"typ": "JWT"}, claims)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token)
}

// A connection of which it can be shown that no private key, not even an ephemeral one, was ever
// outside the SIM.
func ExampleDevice_DialAllInSIM() {
	ctx := context.Background()
	sim := open(ctx)
	defer sim.Close()
	conn, err := sim.DialAllInSIM(ctx, "tcp", "broker.example:8883")
	if err != nil {
		log.Fatal(err) // wraps device.ErrNotAllInSIM if the SIM cannot, and says what it lacks
	}
	defer conn.Close()
	fmt.Fprintln(conn, "23.4 kWh")
}
