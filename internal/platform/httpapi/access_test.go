package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// request is one good request for each operation, and who may make it.
type request struct {
	method, path, body string
	status             int
	roles              []api.Role // nil: everyone, without a token
}

func goodRequests(t testing.TB) map[string]request {
	sim, cred := api.PathSIMs+"/"+knownICCID, api.PathCredentials+"/"+knownCred
	own, _ := fixture.Request(t)
	csr, err := json.Marshal(api.ServerRequest{Names: []string{"app.example"}, CSR: own})
	if err != nil {
		t.Fatal(err)
	}
	reads := []api.Role{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}
	writes := []api.Role{api.RoleOperator, api.RoleAdmin}
	admin := []api.Role{api.RoleAdmin}
	return map[string]request{
		"open-relay":   {"POST", api.PathRelay, `{"version":1,"iccid":"8988211000000000017","applet":"oAAAAFk=","from_the_future":1}`, 200, nil},
		"answer-relay": {"POST", api.PathRelay + "/s1", `{"step":1,"responses":["kAA="]}`, 200, nil},

		"est-cacerts":        {"GET", "/.well-known/est/meters/cacerts", "", 200, nil},
		"est-csrattrs":       {"GET", "/.well-known/est/meters/csrattrs", "", 200, nil},
		"est-simpleenroll":   {"POST", "/.well-known/est/meters/simpleenroll", "MIH", 200, nil},
		"est-simplereenroll": {"POST", "/.well-known/est/meters/simplereenroll", "MIH", 200, nil},
		"est-serverkeygen":   {"POST", "/.well-known/est/meters/serverkeygen", "MIH", 200, nil},

		"create-enrolment-secret": {"POST", sim + "/enrolment-secret", "", 201, writes},

		"get-transport-key": {"GET", api.PathTransportKey, "", 200, nil},
		"get-trust-anchors": {"GET", api.PathTrustAnchors, "", 200, nil},
		"get-issuers":       {"GET", api.PathIssuers, "", 200, nil},
		"get-crl":           {"GET", api.PathCRL, "", 200, nil},
		"get-crl-delta":     {"GET", api.PathCRLDelta, "", 200, nil},
		"get-crl-shard":     {"GET", api.CRLShardPath(1, 7), "", 200, nil},
		"get-crls":          {"GET", api.PathCRLs, "", 200, nil},
		"get-ca-crl":        {"GET", api.CRLPath(2), "", 200, nil},
		"get-ca-crl-delta":  {"GET", api.CRLDeltaPath(2), "", 200, nil},
		"get-ca-crl-shard":  {"GET", api.CRLShardPath(2, 7), "", 200, nil},
		"ask-ocsp":          {"POST", api.PathOCSP, "0", 200, nil},
		"get-ocsp":          {"GET", api.PathOCSP + "/MA%2F%2F//+A==", "", 200, nil},
		"get-root-crl":      {"GET", api.PathRootCRL, "", 200, nil},
		"get-health":        {"GET", api.PathHealth, "", 200, nil},
		"get-openapi":       {"GET", api.PathOpenAPI, "", 200, nil},

		"list-fleets":      {"GET", api.PathFleets + "?limit=10&after=a", "", 200, reads},
		"get-fleet":        {"GET", api.PathFleets + "/meters", "", 200, reads},
		"list-sims":        {"GET", api.PathSIMs + "?fleet=meters&state=seen", "", 200, reads},
		"get-sim":          {"GET", sim, "", 200, reads},
		"list-credentials": {"GET", api.PathCredentials + "?iccid=" + knownICCID + "&state=active", "", 200, reads},
		"get-credential":   {"GET", cred, "", 200, reads},
		"list-keks":        {"GET", api.PathKEKs, "", 200, reads},
		"list-audit":       {"GET", api.PathAudit, "", 200, reads},
		"get-audit-head":   {"GET", api.PathAuditHead, "", 200, reads},

		"list-server-certificates":  {"GET", api.PathServers, "", 200, reads},
		"revoke-server-certificate": {"POST", api.PathServers + "/4ab1/revoke", `{"reason":"keyCompromise"}`, 200, admin},

		"create-transport-key":   {"POST", api.PathTransportKeys, `{"note":"lot 7","lifetime":"24h"}`, 201, writes},
		"withdraw-transport-key": {"DELETE", api.PathTransportKeys + "/" + strings.Repeat("0f", 32), "", 204, writes},
		"list-transport-keys":    {"GET", api.PathTransportKeys, "", 200, reads},

		"import-batch":       {"POST", api.PathBatches + "?fleet=meters", "{}\n{}\n", 200, writes},
		"set-sim-attributes": {"POST", sim + "/attributes", `{"set":{"site":"1"},"remove":["spare"]}`, 200, writes},
		"suspend-sim":        {"POST", sim + "/suspend", `{"note":"lost"}`, 200, writes},
		"resume-sim":         {"POST", sim + "/resume", `{}`, 200, writes},
		"terminate-sim":      {"POST", sim + "/terminate", `{"reason":"cessationOfOperation"}`, 200, writes},
		"revoke-sim":         {"POST", sim + "/revoke", `{"reason":"keyCompromise"}`, 200, writes},
		"revoke-credential":  {"POST", cred + "/revoke", `{"reason":"keyCompromise"}`, 200, writes},
		"get-ca-rollover":    {"GET", api.PathRollover, "", 200, reads},
		"begin-ca-rollover":  {"POST", api.PathRollover, `{"note":"old"}`, 200, admin},
		"finish-ca-rollover": {"POST", api.PathRollover + "/finish", `{"force":true}`, 200, admin},
		"abort-ca-rollover":  {"POST", api.PathRollover + "/abort", `{}`, 200, admin},
		"create-campaign":    {"POST", api.PathCampaigns, `{"fleet":"meters","kind":"rotate","canary":5}`, 201, writes},
		"list-campaigns":     {"GET", api.PathCampaigns + "?fleet=meters", "", 200, reads},
		"get-campaign":       {"GET", api.PathCampaigns + "/k1", "", 200, reads},
		"list-campaign-sims": {"GET", api.PathCampaigns + "/k1/sims?state=failed", "", 200, reads},
		"pause-campaign":     {"POST", api.PathCampaigns + "/k1/pause", `{"note":"wait"}`, 200, writes},
		"resume-campaign":    {"POST", api.PathCampaigns + "/k1/resume", `{}`, 200, writes},
		"proceed-campaign":   {"POST", api.PathCampaigns + "/k1/proceed", `{}`, 200, writes},
		"retry-campaign":     {"POST", api.PathCampaigns + "/k1/retry", `{}`, 200, writes},
		"abort-campaign":     {"POST", api.PathCampaigns + "/k1/abort", `{}`, 200, writes},
		"move-sim":           {"POST", sim + "/move", `{"fleet":"meters","note":"sold"}`, 200, writes},
		"replace-sim":        {"POST", sim + "/replace", `{"by":"8988211000000000025","reason":"superseded"}`, 200, writes},
		"update-fleet":       {"PUT", api.PathFleets + "/meters", `{"name":"meters","version":1,"profile":{"type":"certificate","renewal":"renew"}}`, 200, admin},

		"create-fleet": {"POST", api.PathFleets, `{"name":"meters","profile":{"type":"certificate","lifetime":"720h","trust_anchor":"03",
			"slots":[{"private_key":"01","public_key":"01","certificate":"02"},{"private_key":"11","public_key":"11","certificate":"12"}]}}`, 201, admin},
		"request-server-certificate": {"POST", api.PathServers, string(csr), 200, admin},
		"create-token":               {"POST", api.PathTokens, `{"name":"night","role":"auditor","lifetime":"24h"}`, 201, admin},
		"list-tokens":                {"GET", api.PathTokens, "", 200, admin},
		"withdraw-token":             {"DELETE", api.PathTokens + "/t2", "", 204, admin},

		"invite-appserver":   {"POST", api.PathAppServers, `{"name":"broker","fleets":["meters"],"lifetime":"1h"}`, 201, admin},
		"list-appservers":    {"GET", api.PathAppServers, "", 200, reads},
		"withdraw-appserver": {"DELETE", api.PathAppServers + "/s1", "", 204, admin},
		"register-appserver": {"POST", api.PathRegisterAppServer, `{"token":"once","csr":"MA=="}`, 200, nil},
		"renew-appserver":    {"POST", api.PathRenewAppServer, "", 200, []api.Role{api.RoleAppServer}},

		// An admin's token here has no sealing key.
		"get-secret":  {"POST", cred + "/secret", "", 200, []api.Role{api.RoleAppServer}},
		"get-secrets": {"POST", api.PathSecrets, `{"credentials":["` + knownCred + `"]}`, 200, []api.Role{api.RoleAppServer}},
	}
}

// do makes a request with a token's secret, or none.
func do(s *Server, method, path, body, secret string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

// refusal reads an answer that must be a problem document.
func refusal(t *testing.T, answer *http.Response) api.Error {
	t.Helper()
	if got := answer.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q, want application/problem+json", got)
	}
	var e api.Error
	if err := json.NewDecoder(answer.Body).Decode(&e); err != nil {
		t.Fatalf("not a problem document: %v", err)
	}
	if e.Status != answer.StatusCode || e.Code == "" || e.Title == "" || e.Detail == "" || e.RequestID == "" {
		t.Errorf("incomplete refusal: %+v (status %d)", e, answer.StatusCode)
	}
	return e
}

func TestEveryOperationServesItsRolesAndNoOthers(t *testing.T) {
	f := newFake()
	_, f.sealingKey, _ = api.GenerateSealKey()
	s, _ := newServer(t, f)
	everyRole := []api.Role{api.RoleAdmin, api.RoleOperator, api.RoleAuditor, api.RoleAppServer}
	for id, r := range goodRequests(t) {
		t.Run(id, func(t *testing.T) {
			if r.roles == nil {
				if answer := do(s, r.method, r.path, r.body, ""); answer.StatusCode != r.status {
					t.Fatalf("without a token: %v", refusal(t, answer).Detail)
				}
				return
			}
			for _, role := range everyRole {
				answer := do(s, r.method, r.path, r.body, string(role))
				if slices.Contains(r.roles, role) {
					if answer.StatusCode != r.status {
						t.Errorf("as %s: status %d, want %d: %v", role, answer.StatusCode, r.status, refusal(t, answer).Detail)
					}
				} else if e := refusal(t, answer); e.Status != 403 || e.Code != api.CodeForbidden {
					t.Errorf("as %s: %+v, want it to be forbidden", role, e)
				}
			}
			for _, secret := range []string{"", "unknown", "expired"} {
				answer := do(s, r.method, r.path, r.body, secret)
				if e := refusal(t, answer); e.Status != 401 || e.Code != api.CodeUnauthorized {
					t.Errorf("with the token %q: %+v, want it to be unauthorized", secret, e)
				}
				if answer.Header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("with the token %q: no WWW-Authenticate", secret)
				}
			}
		})
	}
}

func TestChangesNameTheirActor(t *testing.T) {
	f := newFake()
	s, _ := newServer(t, f)
	do(s, "POST", api.PathSIMs+"/"+knownICCID+"/suspend", "{}", "operator")
	if want := "the operator (t-operator)"; f.actor != want {
		t.Errorf("actor %q, want %q", f.actor, want)
	}
}

func TestASecretIsSealedToTheTokensKey(t *testing.T) {
	f := newFake()
	private, public, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	f.sealingKey = public
	s, _ := newServer(t, f)
	answer := do(s, "POST", api.PathCredentials+"/"+knownCred+"/secret", "", "appserver")
	var sealed api.SealedSecret
	if err := json.NewDecoder(answer.Body).Decode(&sealed); err != nil {
		t.Fatal(err)
	}
	if got, err := api.OpenSealed(private, knownCred, sealed.Sealed); err != nil || string(got) != psk {
		t.Errorf("opened %q, %v", got, err)
	}

	f.sealingKey = nil
	if e := refusal(t, do(s, "POST", api.PathCredentials+"/"+knownCred+"/secret", "", "appserver")); e.Code != api.CodeForbidden || !strings.Contains(e.Detail, "sealing key") {
		t.Errorf("without a sealing key: %+v", e)
	}
}
