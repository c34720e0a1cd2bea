package demo

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/simroot/simroot/device"
)

// patience is how long the demonstration waits for one thing to happen.
const patience = 30 * time.Second

// publisher is a device's MQTT session over TLS with the key in its SIM.
type publisher struct {
	client paho.Client
	lost   chan error
	state  tls.ConnectionState
}

// connect opens an MQTT session whose TLS client key is in the SIM.
func connect(ctx context.Context, d *device.Device, address string) (*publisher, error) {
	config, err := d.TLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	p := &publisher{lost: make(chan error, 1)}
	config.VerifyConnection = func(state tls.ConnectionState) error { p.state = state; return nil }
	p.client = paho.NewClient(paho.NewClientOptions().
		AddBroker("ssl://" + address).
		SetClientID(string(d.ICCID())).
		SetTLSConfig(config).
		SetAutoReconnect(false).
		SetConnectTimeout(patience).
		SetConnectionLostHandler(func(_ paho.Client, err error) { p.lost <- err }))
	return p, settle(p.client.Connect())
}

// publish sends a text below the SIM's own topic and waits for the broker's acknowledgement.
func (p *publisher) publish(iccid, text string) error {
	return settle(p.client.Publish(topicOf(iccid)+"telemetry", 1, false, text))
}

func (p *publisher) close() { p.client.Disconnect(100) }

func settle(t paho.Token) error {
	if !t.WaitTimeout(patience) {
		return fmt.Errorf("no answer within %s", patience)
	}
	return t.Error()
}
