package demo

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/simroot/simroot/appserver"
)

// broker is an application server: an embedded MQTT broker that takes its connections from
// the server middleware, and knows which SIM is speaking.
type broker struct {
	server   *mqtt.Server
	received chan message
}

// message is what a SIM has published.
type message struct {
	sim, topic, text string
}

// startBroker serves MQTT on connections from l, which the middleware has let in.
func startBroker(l net.Listener) (*broker, error) {
	b := &broker{
		server:   mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}),
		received: make(chan message, 16),
	}
	if err := b.server.AddHook(&identityHook{received: b.received}, nil); err != nil {
		return nil, err
	}
	if err := b.server.AddListener(listeners.NewNet("sims", l)); err != nil {
		return nil, err
	}
	return b, b.server.Serve()
}

func (b *broker) close() error { return b.server.Close() }

// identityHook lets a client in if its connection belongs to a SIM, and lets it write below
// the SIM's own topic only.
type identityHook struct {
	mqtt.HookBase
	received chan message
}

func (*identityHook) ID() string { return "sim-identity" }

func (*identityHook) Provides(event byte) bool {
	return bytes.IndexByte([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublished}, event) >= 0
}

func (*identityHook) OnConnectAuthenticate(client *mqtt.Client, _ packets.Packet) bool {
	_, known := appserver.IdentityOf(client.Net.Conn)
	return known
}

func (*identityHook) OnACLCheck(client *mqtt.Client, topic string, write bool) bool {
	id, known := appserver.IdentityOf(client.Net.Conn)
	return known && write && strings.HasPrefix(topic, topicOf(id.ICCID))
}

func (h *identityHook) OnPublished(client *mqtt.Client, p packets.Packet) {
	id, _ := appserver.IdentityOf(client.Net.Conn)
	h.received <- message{sim: id.ICCID, topic: p.TopicName, text: string(p.Payload)}
}

func topicOf(iccid string) string { return fmt.Sprintf("sims/%s/", iccid) }
