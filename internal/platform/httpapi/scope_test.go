package httpapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/simroot/simroot/api"
)

// aboutEverything are the operations that no token for some fleets may use. All others must answer it
// like one for all fleets, as far as its own fleets go.
var aboutEverything = []string{"get-ca-rollover", "begin-ca-rollover", "finish-ca-rollover", "abort-ca-rollover", "list-audit", "list-keks", "get-audit-head", "list-server-certificates", "revoke-server-certificate", "list-appservers", "invite-appserver", "withdraw-appserver",
	"create-transport-key", "withdraw-transport-key", "list-transport-keys", "create-fleet", "request-server-certificate", "create-token", "list-tokens", "withdraw-token"}

func TestATokenForSomeFleetsKnowsNoOthers(t *testing.T) {
	f := newFake()
	f.sealingKey = make([]byte, api.SealKeySize)
	f.sealingKey[0] = 9
	s, _ := newServer(t, f)
	for name, r := range goodRequests(t) {
		if r.roles == nil || name == "follow-feed" {
			continue
		}
		role := string(r.roles[0])
		own, other := do(s, r.method, r.path, r.body, role+"@meters"), do(s, r.method, r.path, r.body, role+"@tags")
		switch {
		case slices.Contains(aboutEverything, name):
			if own.StatusCode != http.StatusForbidden || other.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %d and %d for tokens for one fleet, want 403", name, own.StatusCode, other.StatusCode)
			}
		case own.StatusCode != r.status:
			t.Errorf("%s: %d with a token for the fleet, want %d", name, own.StatusCode, r.status)
		case slices.Contains([]string{"list-fleets", "list-credentials", "get-secrets", "renew-appserver"}, name):
			if other.StatusCode != r.status { // it tells of the token's fleet only
				t.Errorf("%s: %d with a token for another fleet, want %d", name, other.StatusCode, r.status)
			}
		case other.StatusCode != http.StatusNotFound:
			t.Errorf("%s: %d with a token for another fleet, want 404", name, other.StatusCode)
		}
	}
}

func TestARestrictedListIsOfTheTokensFleet(t *testing.T) {
	s, _ := newServer(t, newFake())
	answer := do(s, "GET", api.PathSIMs, "", "operator@tags")
	var page api.Page[api.SIM]
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil || len(page.Items) != 1 || page.Items[0].Fleet != "tags" {
		t.Errorf("the list was not asked of the token's fleet: %+v, %v", page, err)
	}
}

func TestTheFeedTellsAFollowerOfItsFleetsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.happen(6)
		for i, fleet := range []string{"tags", "tags", "meters", "tags", "meters", "tags"} {
			f.events[i].SIM.Fleet = fleet
		}
		s, _ := newServer(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lines, done := followAs(ctx, s, "0", "appserver@meters")
		if header := <-lines; header.Header == nil {
			t.Fatalf("%+v, want the header", header)
		}
		for _, want := range []api.FeedLine{
			{Skipped: &api.Skipped{Seq: 2, Mark: "m2"}}, {Event: &f.events[2]},
			{Skipped: &api.Skipped{Seq: 4, Mark: "m4"}}, {Event: &f.events[4]},
			{Skipped: &api.Skipped{Seq: 6, Mark: "m6"}},
		} {
			line := <-lines
			if (line.Event == nil) != (want.Event == nil) || want.Event != nil && line.Event.Seq != want.Event.Seq ||
				want.Skipped != nil && (line.Skipped == nil || *line.Skipped != *want.Skipped) {
				t.Fatalf("%+v, want %+v", line, want)
			}
		}
		if line := <-lines; line.Heartbeat == nil {
			t.Fatalf("%+v, want a heartbeat", line)
		}
		cancel()
		<-done
	})
}

func TestTheFeedOfAWithdrawnTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s, _ := newServer(t, f)
		lines, done := follow(t.Context(), s, "0")
		<-lines
		f.mu.Lock()
		f.withdrawn = true
		f.mu.Unlock()
		<-done // or the bubble is stuck
	})
}

func TestAnApplicationServerIsKnownByItsCertificateUnlessItSendsAToken(t *testing.T) {
	s, _ := newServer(t, newFake())
	for secret, want := range map[string]int{"": http.StatusOK, "auditor": http.StatusForbidden, "guess": http.StatusUnauthorized} {
		r := httptest.NewRequest("POST", api.PathRenewAppServer, nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("with the token %q: %d, want %d", secret, w.Code, want)
		}
		if (w.Code == http.StatusUnauthorized) != (w.Header().Get("Connection") == "close") {
			t.Errorf("with the token %q: Connection: %q", secret, w.Header().Get("Connection"))
		}
	}
}
