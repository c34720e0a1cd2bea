package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/limit"
)

func limitedServer(t *testing.T, l Limits) *Server {
	t.Helper()
	services := newFake().services()
	services.Limits = l
	s, err := New(services, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// from makes a request from an address.
func from(s *Server, address, forwarded, method, path, body, secret string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = address
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestTooManyRequestsOfOneAddressAreRefusedAndOfOthersNot(t *testing.T) {
	s := limitedServer(t, Limits{Address: limit.Rate{PerSecond: 0.001, Burst: 2},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	get := func(address, forwarded string) int {
		w := from(s, address, forwarded, "GET", api.PathCRL, "", "")
		if (w.Code == http.StatusTooManyRequests) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%d with Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		return w.Code
	}
	for _, step := range []struct {
		address, forwarded string
		want               int
	}{
		{"[2001:db8:1:2::1]:1", "", 200},
		{"[2001:db8:1:2::2]:1", "", 200}, // one subscriber's network
		{"[2001:db8:1:2::3]:1", "", 429},
		{"[2001:db8:1:3::3]:1", "", 200},
		{"[2001:db8:1:2::3]:1", "192.0.2.1", 429}, // anybody can say that
		{"10.0.0.1:1", "192.0.2.1", 200},          // and a trusted proxy is believed
		{"10.0.0.1:1", "192.0.2.2, 10.0.0.2", 200},
		{"10.0.0.1:1", "192.0.2.9, 192.0.2.1", 200},
		{"10.0.0.1:1", "192.0.2.8, 192.0.2.1", 429}, // what stands before is the client's word
		{"10.0.0.1:1", "nonsense", 200},
	} {
		if got := get(step.address, step.forwarded); got != step.want {
			t.Errorf("from %s for %q: %d, want %d", step.address, step.forwarded, got, step.want)
		}
	}
	if w := from(s, "[2001:db8:1:2::3]:1", "", "GET", api.PathSIMs, "", "auditor"); w.Code != http.StatusOK {
		t.Errorf("with a good token: %d", w.Code)
	}
	if w := from(s, "[2001:db8:1:2::3]:1", "", "GET", api.PathSIMs, "", "guess"); w.Code != http.StatusTooManyRequests {
		t.Errorf("guessing tokens: %d", w.Code)
	}
	if w := from(s, "[2001:db8:1:2::3]:1", "", "GET", api.PathHealth, "", ""); w.Code != http.StatusOK {
		t.Errorf("health: %d", w.Code)
	}
}

func TestOnboardingsOfOneSIMAndAllRequestsTogetherAreLimited(t *testing.T) {
	open := func(s *Server, i int, iccid string) int {
		body := fmt.Sprintf(`{"version":%d,"iccid":"%s","applet":"oAAAAFk="}`, api.RelayVersion, iccid)
		return from(s, fmt.Sprintf("192.0.2.%d:1", i), "", "POST", api.PathRelay, body, "").Code
	}
	s := limitedServer(t, Limits{SIM: limit.Rate{PerSecond: 0.001, Burst: 2}})
	for i, want := range []int{200, 200, 429} {
		if got := open(s, i, knownICCID); got != want {
			t.Errorf("onboarding %d of a SIM: %d, want %d", i, got, want)
		}
	}
	if got := open(s, 9, "8988211000000000025"); got != 200 {
		t.Errorf("another SIM: %d", got)
	}
	s = limitedServer(t, Limits{Total: limit.Rate{PerSecond: 0.001, Burst: 3}})
	for i, want := range []int{200, 200, 200, 429} {
		if got := open(s, i, fmt.Sprintf("89882110000000000%02d", i)); got != want {
			t.Errorf("request %d in total: %d, want %d", i, got, want)
		}
	}
}
