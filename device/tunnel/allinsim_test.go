package tunnel

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/simroot/simroot/device/internal/fixture"
)

func TestTheTunnelHasTheSIMDoAll(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	all := func(o *Options) { o.AllInSIM = true }
	server := serve(t, tls.NewListener(fixture.Listen(t), ca.ServerConfig()), sayBack).Addr().String()
	slot := fixture.NewSlot(ca.SIMWith(fixture.WholeExchange))
	s := newStage(t, slot, server, all)
	s.echoes("hello")
	s.echoes(strings.Repeat("a long way through the tunnel ", 50_000))
	s.slot.Remove()
	s.refused("the card was removed")
	s.log.Await(t, "the SIM is away")
	s.slot.Insert()
	s.sim()
	s.echoes("back again")

	// There is nothing in its place.
	newStage(t, fixture.NewSlot(ca.GoodSIM()), server, all).refused("cannot do the whole key exchange")
	newStage(t, fixture.NewSlot(fixture.PSKSIM(t, make([]byte, 32))), server, all).refused("no activated certificate")
	strange := newStage(t, fixture.NewSlot(ca.SIMWith(fixture.WholeExchange)), server, func(o *Options) {
		o.AllInSIM, o.Roots = true, other.Pool()
	})
	strange.refused("unknown authority")

	// A no of the server's is known for one.
	config := ca.ServerConfig()
	config.ClientCAs = other.Pool()
	refuser := serve(t, tls.NewListener(fixture.Listen(t), config), sayBack).Addr().String()
	refused := newStage(t, fixture.NewSlot(ca.SIMWith(fixture.WholeExchange)), refuser, all)
	refused.cut()
	refused.log.Await(t, "the server refuses the SIM's credential", "it does not know the CA")
}

func TestATunnelThatPromisesAllInTheSIMCarriesNothingElse(t *testing.T) {
	for name, o := range map[string]Options{
		"UDP":   {Forwards: []Forward{{UDP, "127.0.0.1:0", "server.example:5684"}}},
		"a PSK": {Forwards: []Forward{{TCP, "127.0.0.1:0", "server.example:8883"}}, Identity: func() string { return "meter 1" }},
	} {
		o.AllInSIM, o.Log = true, slog.New(slog.DiscardHandler)
		if _, err := Listen(o); !errors.Is(err, ErrAllInSIM) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
