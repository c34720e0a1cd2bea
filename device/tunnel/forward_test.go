package tunnel

import (
	"net"
	"slices"
	"strings"
	"testing"
)

func TestForwards(t *testing.T) {
	for s, want := range map[string][]Forward{
		"1883=broker.example:8883":                          {{"127.0.0.1:1883", "broker.example:8883"}},
		"0=b:1, 0=b:2":                                      {{"127.0.0.1:0", "b:1"}, {"127.0.0.1:0", "b:2"}},
		"0.0.0.0:1883=b:8883":                               {{"0.0.0.0:1883", "b:8883"}},
		"[::1]:1883=[2001:db8::1]:8883":                     {{"[::1]:1883", "[2001:db8::1]:8883"}},
		"localhost:1=a:1,localhost:2=a:1,127.0.0.1:1=a:443": {{"localhost:1", "a:1"}, {"localhost:2", "a:1"}, {"127.0.0.1:1", "a:443"}},
	} {
		got, err := ParseForwards(s)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"":                  "want LOCAL=REMOTE",
		"1883":              "want LOCAL=REMOTE",
		"1883=":             "REMOTE",
		"1883=broker":       "HOST:PORT",
		"1883=:8883":        "HOST:PORT",
		"1883=broker:0":     "port",
		"1883=broker:65536": "port",
		"1883=broker:mqtts": "port",
		":1883=broker:8883": "0.0.0.0",
		"99999=broker:8883": "HOST:PORT",
		"1=a:1,1=b:1":       "already",
		"1=a:1,":            "want LOCAL=REMOTE",
	} {
		if _, err := ParseForwards(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func FuzzParseForwards(f *testing.F) {
	for _, s := range []string{"1883=broker.example:8883", "0=b:1,[::1]:2=[::2]:3", "=", ",", "a:b=c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := ParseForwards(s)
		if err != nil {
			return
		}
		for _, f := range all {
			for _, address := range []string{f.Local, f.Remote} {
				if host, _, err := net.SplitHostPort(address); err != nil || host == "" {
					t.Fatalf("%q was taken from %q", address, s)
				}
			}
			again, err := ParseForwards(f.String())
			if err != nil || !slices.Equal(again, []Forward{f}) {
				t.Fatalf("%v became %v: %v", f, again, err)
			}
		}
	})
}
