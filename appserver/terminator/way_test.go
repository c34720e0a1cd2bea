package terminator

import (
	"strings"
	"testing"
)

func TestAWayIsReadAndWrittenAlike(t *testing.T) {
	for text, want := range map[string]Way{
		"tls:0.0.0.0:8883=127.0.0.1:1883":         {TLS, Nothing, "0.0.0.0:8883", "127.0.0.1:1883"},
		"tls+http::443=web.internal:80":           {TLS, HTTP, ":443", "web.internal:80"},
		"tls-psk+proxy:[::1]:8883=[::1]:1883":     {TLSPSK, ProxyV2, "[::1]:8883", "[::1]:1883"},
		"dtls+proxy-first::5684=127.0.0.1:5683":   {DTLS, ProxyFirst, ":5684", "127.0.0.1:5683"},
		"dtls-psk+proxy:127.0.0.1:0=127.0.0.1:80": {DTLSPSK, ProxyV2, "127.0.0.1:0", "127.0.0.1:80"},
	} {
		got, err := ParseWay(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v, and back %s", text, got, err, got)
		}
	}
}

func TestAWayThatCannotBeIsRefusedWithAReason(t *testing.T) {
	for text, reason := range map[string]string{
		"":                                "want KIND",
		"tls:8883":                        "want KIND",
		"ssl::1=a:2":                      "want tls",
		"dtls+http::1=a:2":                "cannot tell who speaks",
		"tls+proxy-first::1=a:2":          "cannot tell who speaks",
		"tls:8883=a:2":                    "LISTEN",
		"tls::8883=1883":                  "BACKEND",
		"tls::8883=:1883":                 "BACKEND",
		"tls::8883=127.0.0.1:0":           "BACKEND",
		"tls+proxy:0.0.0.0:=127.0.0.1:80": "LISTEN",
	} {
		if w, err := ParseWay(text); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %+v, %v; want %q", text, w, err, reason)
		}
	}
}
