package main

import (
	"slices"
	"testing"
)

func TestATunnelThatOnboardsTriesNewCredentialsWhereItsStreamsGo(t *testing.T) {
	f := tunnelFlags{forwards: []string{
		"1883=broker.example:8883", "tcp:127.0.0.1:1884=broker.example:8883",
		"udp:5683=coap.example:5684", "tcp:[::1]:80=web.example:443", "nonsense",
	}}
	if got, want := f.streams(), []string{"broker.example:8883", "web.example:443"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
