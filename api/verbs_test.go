package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// platform answers what a test says, and remembers what it was asked.
type platform struct {
	asked  []string
	bodies []string
	answer http.HandlerFunc
}

// newClient returns a client of a platform that answers with fn.
func newClient(t *testing.T, fn http.HandlerFunc) (*Client, *platform) {
	t.Helper()
	p := &platform{answer: fn}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.asked = append(p.asked, r.Method+" "+r.URL.RequestURI())
		p.bodies = append(p.bodies, string(body))
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		p.answer(w, r)
	}))
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, ClientOptions{Token: "secret", RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, p
}

func TestEachVerbAsksForItsPath(t *testing.T) {
	c, p := newClient(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") })
	ctx := t.Context()
	second := func(_ any, err error) error { return err }
	for _, verb := range []struct {
		want, body string
		call       func() error
	}{
		{"GET /v1/transport-key", "", func() error { return second(c.TransportKey(ctx)) }},
		{"POST /v1/transport-keys", `"note":"lot 7"`, func() error { return second(c.NewBatchKey(ctx, BatchKeyRequest{Note: "lot 7"})) }},
		{"DELETE /v1/transport-keys/0f01", "", func() error { return c.WithdrawBatchKey(ctx, []byte{15, 1}) }},
		{"GET /v1/trust-anchors", "", func() error { return second(c.TrustAnchors(ctx)) }},
		{"GET /v1/issuers", "", func() error { return second(c.Issuers(ctx)) }},
		{"GET /v1/crl", "", func() error { return second(c.CRL(ctx)) }},
		{"GET /v1/crls", "", func() error { return second(c.CRLs(ctx)) }},
		{"GET /v1/crl/cas/2", "", func() error { return second(c.CRLOf(ctx, 2)) }},
		{"GET /v1/crl/cas/2/delta", "", func() error { return second(c.CRLDeltaOf(ctx, 2)) }},
		{"GET /v1/crl/shards/7", "", func() error { return second(c.CRLShard(ctx, 1, 7)) }},
		{"GET /v1/crl/cas/2/shards/7", "", func() error { return second(c.CRLShard(ctx, 2, 7)) }},
		{"GET /v1/root-crl", "", func() error { return second(c.RootCRL(ctx)) }},
		{"POST /v1/fleets", `"name":"a"`, func() error { return second(c.CreateFleet(ctx, Fleet{Name: "a"})) }},
		{"GET /v1/fleets/a", "", func() error { return second(c.Fleet(ctx, "a")) }},
		{"POST /v1/batches?fleet=a", "batch", func() error { return second(c.Import(ctx, "a", strings.NewReader("batch"))) }},
		{"GET /v1/sims/89", "", func() error { return second(c.SIM(ctx, "89")) }},
		{"POST /v1/sims/89/suspend", `"note":"n"`, func() error { return second(c.SuspendSIM(ctx, "89", Change{Note: "n"})) }},
		{"POST /v1/sims/89/resume", "{}", func() error { return second(c.ResumeSIM(ctx, "89", Change{})) }},
		{"POST /v1/sims/89/terminate", "{}", func() error { return second(c.TerminateSIM(ctx, "89", Change{})) }},
		{"POST /v1/sims/89/revoke", "keyCompromise", func() error { return second(c.RevokeSIM(ctx, "89", Change{Reason: ReasonKeyCompromise})) }},
		{"GET /v1/credentials/c", "", func() error { return second(c.Credential(ctx, "c")) }},
		{"POST /v1/credentials/c/revoke", "{}", func() error { return second(c.RevokeCredential(ctx, "c", Change{})) }},
		{"POST /v1/credentials/c/secret", "", func() error { return second(c.Secret(ctx, "c")) }},
		{"POST /v1/credentials/secrets", `"credentials":[]`, func() error { return second(c.Secrets(ctx, []string{})) }},
		{"POST /v1/tokens", "auditor", func() error { return second(c.CreateToken(ctx, TokenRequest{Role: RoleAuditor})) }},
		{"DELETE /v1/tokens/t", "", func() error { return c.WithdrawToken(ctx, "t") }},
		{"POST /v1/servers", "a.example", func() error {
			return second(c.RequestServerCertificate(ctx, ServerRequest{Names: []string{"a.example"}}))
		}},
		{"POST /v1/relay", `"iccid":"89"`, func() error { return second(c.OpenRelay(ctx, RelayOpen{ICCID: "89"})) }},
		{"POST /v1/relay/s", `"step":3`, func() error { return second(c.AnswerRelay(ctx, "s", RelayAnswers{Step: 3})) }},
		{"GET /v1/fleets/a%2Fb%3F", "", func() error { return second(c.Fleet(ctx, "a/b?")) }},
	} {
		p.asked, p.bodies = nil, nil
		if err := verb.call(); err != nil {
			t.Errorf("%s: %v", verb.want, err)
		}
		if len(p.asked) != 1 || p.asked[0] != verb.want {
			t.Errorf("asked for %v, want %s", p.asked, verb.want)
			continue
		}
		if body := p.bodies[0]; !strings.Contains(body, verb.body) || (verb.body == "") != (body == "") {
			t.Errorf("%s with the body %q, want %q in it", verb.want, body, verb.body)
		}
	}
}

func TestAListGoesThroughAllPages(t *testing.T) {
	const total = 7
	c, p := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		var page Page[SIM]
		for i := after + 1; i <= total && len(page.Items) < 3; i++ {
			page.Items = append(page.Items, SIM{ICCID: strconv.Itoa(i)})
			page.Next = strconv.Itoa(i)
		}
		if page.Next == strconv.Itoa(total) {
			page.Next = ""
		}
		json.NewEncoder(w).Encode(page)
	})
	var got []string
	for sim, err := range c.SIMs(t.Context(), SIMFilter{Fleet: "meters", State: Seen}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, sim.ICCID)
	}
	if strings.Join(got, "") != "1234567" {
		t.Errorf("%v", got)
	}
	want := []string{"GET /v1/sims?fleet=meters&limit=500&state=seen", "GET /v1/sims?after=3&fleet=meters&limit=500&state=seen", "GET /v1/sims?after=6&fleet=meters&limit=500&state=seen"}
	if fmt.Sprint(p.asked) != fmt.Sprint(want) {
		t.Errorf("asked for %v, want %v", p.asked, want)
	}

	p.asked = nil
	for range c.SIMs(t.Context(), SIMFilter{}) {
		break
	}
	if len(p.asked) != 1 {
		t.Errorf("a list that was left went on: %v", p.asked)
	}
}

func TestAListEndsAtTheFirstError(t *testing.T) {
	c, _ := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "" {
			w.WriteHeader(http.StatusForbidden)
			json.NewEncoder(w).Encode(Error{Code: CodeForbidden, Detail: "no further"})
			return
		}
		json.NewEncoder(w).Encode(Page[Fleet]{Items: []Fleet{{Name: "a"}}, Next: "a"})
	})
	var names []string
	var failed error
	for fleet, err := range c.Fleets(t.Context()) {
		if failed != nil {
			t.Fatal("the list went on after its error")
		}
		if failed = err; err == nil {
			names = append(names, fleet.Name)
		}
	}
	if len(names) != 1 || !HasCode(failed, CodeForbidden) {
		t.Errorf("%v, %v", names, failed)
	}
}

func TestAnImportThatCannotBeReadFails(t *testing.T) {
	c, _ := newClient(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"imported":1}`) })
	broken := errors.New("the disk is broken")
	if _, err := c.Import(t.Context(), "a", io.MultiReader(strings.NewReader("{}"), failingReader{broken})); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestAVerbEndsWithItsContext(t *testing.T) {
	c, _ := newClient(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.SIM(ctx, "89"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
