package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

func TestAMalformedRequestIsToldWhichFieldIsWrong(t *testing.T) {
	s, _ := newServer(t, newFake())
	sim := api.PathSIMs + "/" + knownICCID
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		names              string
	}{
		"no body":              {"POST", api.PathFleets, "", 400, "body"},
		"not JSON":             {"POST", api.PathFleets, "{", 400, "body"},
		"null":                 {"POST", api.PathFleets, "null", 400, "body"},
		"missing field":        {"POST", api.PathFleets, `{"name":"a"}`, 400, "profile"},
		"unknown field":        {"POST", sim + "/suspend", `{"reson":"keyCompromise"}`, 400, "body.reson"},
		"bad name":             {"POST", api.PathFleets, `{"name":"A B","profile":{"type":"psk"}}`, 400, "body.name"},
		"bad type":             {"POST", api.PathFleets, `{"name":"a","profile":{"type":"rsa"}}`, 400, "body.profile.type"},
		"bad duration":         {"POST", api.PathFleets, `{"name":"a","profile":{"type":"psk","lifetime":"90 days"}}`, 400, "body.profile.lifetime"},
		"overlong duration":    {"POST", api.PathTokens, `{"name":"a","role":"admin","lifetime":"9999999999999h"}`, 400, "lifetime"},
		"bad identifier":       {"POST", api.PathFleets, `{"name":"a","profile":{"type":"psk","trust_anchor":"3"}}`, 400, "body.profile.trust_anchor"},
		"bad base64":           {"POST", api.PathServers, `{"names":["a"],"csr":"???"}`, 400, "csr"},
		"not a CSR":            {"POST", api.PathServers, `{"names":["a"],"csr":"MAA="}`, 400, "body.csr"},
		"not a name":           {"POST", api.PathServers, `{"names":["ok","a b"],"csr":"MAA="}`, 400, "body.names[1]"},
		"no names":             {"POST", api.PathServers, `{"names":[],"csr":"MAA="}`, 400, "body.names"},
		"bad role":             {"POST", api.PathTokens, `{"name":"a","role":"root"}`, 400, "body.role"},
		"bad ICCID":            {"GET", api.PathSIMs + "/12", "", 400, "path.iccid"},
		"bad limit":            {"GET", api.PathSIMs + "?limit=1001", "", 400, "query.limit"},
		"bad state":            {"GET", api.PathSIMs + "?state=lost", "", 400, "query.state"},
		"unknown parameter":    {"GET", api.PathSIMs + "?fleets=a", "", 400, "query.fleets"},
		"no fleet":             {"POST", api.PathBatches, "{}", 400, "query.fleet"},
		"number out of range":  {"POST", api.PathRelay, `{"version":1e300,"iccid":"","applet":"oAAAAFk="}`, 400, "version"},
		"response of no bytes": {"POST", api.PathRelay + "/s1", `{"step":1,"responses":[7]}`, 400, "body.responses[0]"},
		"body too large":       {"POST", api.PathRelay, `{"agent":"` + strings.Repeat("a", maxRelayBody) + `"}`, 413, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			e := refusal(t, do(s, c.method, c.path, c.body, "admin"))
			if e.Status != c.status || (e.Code != api.CodeBadRequest && e.Code != api.CodeTooLarge) || !strings.Contains(e.Detail, c.names) {
				t.Errorf("%+v, want status %d and %q in the detail", e, c.status, c.names)
			}
		})
	}
}

func TestABodyOfTheLimitIsNotTooLarge(t *testing.T) {
	s, _ := newServer(t, newFake())
	start, end := `{"version":1,"iccid":"1","applet":"oAAAAFk=","agent":"`, `"}`
	body := start + strings.Repeat("a", maxRelayBody-len(start)-len(end)) + end
	if answer := do(s, "POST", api.PathRelay, body, ""); answer.StatusCode != http.StatusOK {
		t.Error(refusal(t, answer).Detail)
	}
}

func TestRefusalsDoNotRepeatWhatWasSent(t *testing.T) {
	s, log := newServer(t, newFake())
	const secret = "hunter2secret"
	for _, body := range []string{
		`{"note":{"x":"` + secret + `"}}`, `{"reason":"` + secret + `"}`, `{"note":"` + secret, `"` + secret + `"`,
	} {
		e := refusal(t, do(s, "POST", api.PathSIMs+"/"+knownICCID+"/suspend?", body, "admin"))
		if strings.Contains(fmt.Sprint(e), secret) {
			t.Errorf("the refusal of %s repeats it: %+v", body, e)
		}
	}
	do(s, "GET", api.PathSIMs+"?after="+secret, "", secret)
	do(s, "POST", api.PathRelay+"/"+secret, `{"step":1,"responses":null}`, "")
	if strings.Contains(log.String(), secret) {
		t.Errorf("the log holds what was sent:\n%s", log)
	}
}

func TestARefusalOfAServiceGoesOutAsItIs(t *testing.T) {
	f := newFake()
	busy := refuse.With(api.CodeTooManyRequests, http.StatusTooManyRequests, "come again in a while")
	busy.RetryAfter = 1500 * time.Millisecond
	f.err = fmt.Errorf("open: %w", busy)
	s, _ := newServer(t, f)
	answer := do(s, "POST", api.PathRelay, `{"version":1,"iccid":"1","applet":"oAAAAFk="}`, "")
	if got := answer.Header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
	if e := refusal(t, answer); e.Status != 429 || e.Code != api.CodeTooManyRequests || e.Detail != "come again in a while" {
		t.Errorf("%+v", e)
	}
}

func TestAnInternalErrorStaysInside(t *testing.T) {
	f := newFake()
	f.err = errors.New("disk /dev/sda1 is full")
	s, log := newServer(t, f)
	e := refusal(t, do(s, "GET", api.PathSIMs+"/"+knownICCID, "", "admin"))
	if e.Status != 500 || e.Code != api.CodeInternal || strings.Contains(e.Detail, "disk") {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(log.String(), "disk /dev/sda1 is full") || !strings.Contains(log.String(), e.RequestID) {
		t.Errorf("the log does not tell the cause under the request's ID:\n%s", log)
	}
}

func TestAnUnknownOutcomeIsNeitherDoneNorRefused(t *testing.T) {
	f := newFake()
	f.err = fmt.Errorf("suspend: %w: connection reset", store.ErrUnknown)
	s, _ := newServer(t, f)
	answer := do(s, "POST", api.PathSIMs+"/"+knownICCID+"/suspend", "{}", "admin")
	e := refusal(t, answer)
	if e.Status != 500 || e.Code != api.CodeOutcomeUnknown || strings.Contains(e.Detail, "reset") || answer.Header.Get("Retry-After") != "" {
		t.Errorf("%+v", e)
	}
}

func TestAPanicIsAnInternalError(t *testing.T) {
	f := newFake()
	services := f.services()
	services.Health = func(context.Context) error { panic("out of cheese") }
	s, log := newServer(t, f)
	s.services = services
	if e := refusal(t, do(s, "GET", api.PathHealth, "", "")); e.Status != 500 || strings.Contains(e.Detail, "cheese") {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(log.String(), "out of cheese") {
		t.Error("the log does not tell of the panic")
	}
}

func TestBadHealthIsServiceUnavailable(t *testing.T) {
	f := newFake()
	f.unwell = errors.New("no database")
	s, _ := newServer(t, f)
	if e := refusal(t, do(s, "GET", api.PathHealth, "", "")); e.Status != 503 || strings.Contains(e.Detail, "database") {
		t.Errorf("%+v", e)
	}
}
