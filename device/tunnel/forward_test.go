package tunnel

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
)

func TestForwards(t *testing.T) {
	for s, want := range map[string]Forward{
		"tcp:127.0.0.1:1883=broker.example:8883": {TCP, "127.0.0.1:1883", "broker.example:8883"},
		"udp:5683=coap.example:5684":             {UDP, "127.0.0.1:5683", "coap.example:5684"},
		"1883=broker.example:8883":               {TCP, "127.0.0.1:1883", "broker.example:8883"},
		" 0=b:1 ":                                {TCP, "127.0.0.1:0", "b:1"},
		"0.0.0.0:1883=b:8883":                    {TCP, "0.0.0.0:1883", "b:8883"},
		"udp:[::1]:1883=[2001:db8::1]:8883":      {UDP, "[::1]:1883", "[2001:db8::1]:8883"},
		"localhost:1=a:1":                        {TCP, "localhost:1", "a:1"},
	} {
		if got, err := ParseForward(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"":                  "want [tcp:|udp:]LOCAL=REMOTE",
		"1883":              "want [tcp:|udp:]LOCAL=REMOTE",
		"1883=":             "REMOTE",
		"1883=broker":       "HOST:PORT",
		"1883=:8883":        "HOST:PORT",
		"1883=broker:0":     "port",
		"1883=broker:65536": "port",
		"1883=broker:mqtts": "port",
		":1883=broker:8883": "0.0.0.0",
		"99999=broker:8883": "HOST:PORT",
	} {
		if _, err := ParseForward(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"1883=broker.example:8883", "udp:[::1]:2=[::2]:3", "tcp:0=b:1", "=", "tcp:=", "a:b=c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		f, err := ParseForward(s)
		if err != nil {
			return
		}
		for _, address := range []string{f.Local, f.Remote} {
			if host, _, err := net.SplitHostPort(address); err != nil || host == "" {
				t.Fatalf("%q was taken from %q", address, s)
			}
		}
		if again, err := ParseForward(f.String()); err != nil || again != f {
			t.Fatalf("%v became %v: %v", f, again, err)
		}
	})
}

func TestAPortThatOtherMachinesReachIsOpenedOnlyIfThatIsWanted(t *testing.T) {
	for _, network := range []string{TCP, UDP} {
		for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
			o := Options{Log: slog.New(slog.DiscardHandler), Forwards: []Forward{{network, address, "b:1"}}}
			if _, err := Listen(o); !errors.Is(err, ErrPublic) {
				t.Errorf("%s %s: %v, want a refusal", network, address, err)
			}
			o.Public = true
			tunnel, err := Listen(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := tunnel.close(); err != nil {
				t.Error(err)
			}
		}
	}
}
