package httpapi

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/simroot/simroot/api"
)

// BenchmarkRelayRoundTrip is the cost of the network surface in an onboarding: opening a
// session and answering its step, over TLS on loopback, with a relay that does nothing.
func BenchmarkRelayRoundTrip(b *testing.B) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		b.Run(version, func(b *testing.B) {
			s, err := New(newFake().services(), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			base, client, _, _ := serve(b, s)
			if version == "HTTP/1.1" {
				transport := client.Transport.(*http.Transport)
				protocols := new(http.Protocols)
				protocols.SetHTTP1(true)
				transport.Protocols = protocols
			}
			post := func(path, body string) {
				answer, err := client.Post(base+path, "application/json", bytes.NewReader([]byte(body)))
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if answer.StatusCode != 200 || answer.Proto[:6] != version[:6] {
					b.Fatal(answer.Status, answer.Proto)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				post(api.PathRelay, `{"version":1,"iccid":"8988211000000000017","applet":"oAAAAFk="}`)
				post(api.PathRelay+"/s1", `{"step":1,"responses":["kAA=","kAA=","kAA=","kAA="]}`)
			}
		})
	}
}
