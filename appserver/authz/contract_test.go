package authz_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/authz"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
)

// world is a platform, a middleware and the handler.
type world struct {
	*platformtest.Platform
	*servertest.Server
	handler *authz.Handler
	sim     platformtest.SIM // accepted
	revoked platformtest.SIM
}

func newWorld(t testing.TB, o authz.Options) *world {
	t.Helper()
	p := platformtest.New(t)
	w := &world{Platform: p, Server: servertest.Open(t, p)}
	w.sim, w.revoked = p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	p.SetCredential(w.revoked.Credential, api.Revoked)
	w.InStep(t)
	o.Middleware, o.Logger = w.Middleware, slog.New(slog.DiscardHandler)
	var err error
	if w.handler, err = authz.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

// do answers one request.
func (w *world) do(r *http.Request) *http.Response {
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder.Result()
}

func pemOf(s platformtest.SIM) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate.Leaf.Raw}))
}

func serialOf(s platformtest.SIM) string { return s.Certificate.Leaf.SerialNumber.Text(16) }

// exchange is a question and its answer as a page has them.
var exchange = regexp.MustCompile("(?s)```http\n(.+?)\n(HTTP/1\\.1 .+?)```")

func TestTheExchangesOfTheContractAreAsWritten(t *testing.T) {
	page, err := os.ReadFile("../../docs/servers/http-authorisation.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, authz.Options{})
	sum := sha256.Sum256(w.sim.Certificate.Leaf.Raw)
	// The page writes what is different each time in braces.
	fill := strings.NewReplacer(
		"{certificate, PEM, URL-encoded}", url.PathEscape(pemOf(w.sim)),
		"{certificate, DER, base64}", base64.StdEncoding.EncodeToString(w.sim.Certificate.Leaf.Raw),
		"{serial of a revoked certificate}", serialOf(w.revoked), "{serial}", serialOf(w.sim),
		"{sha256}", hex.EncodeToString(sum[:]), "{iccid}", w.sim.ICCID, "{credential}", w.sim.Credential,
		"{end}", strconv.FormatInt(w.sim.Certificate.Leaf.NotAfter.Unix(), 10))
	found := exchange.FindAllStringSubmatch(string(page), -1)
	if len(found) < 8 {
		t.Fatalf("%d exchanges: does the page still have them?", len(found))
	}
	for _, f := range found {
		question, answer := fill.Replace(f[1]), fill.Replace(f[2])
		head, body, _ := strings.Cut(question, "\n\n")
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
		if err != nil {
			t.Fatalf("%s\n%v", question, err)
		}
		r.Body = io.NopCloser(strings.NewReader(strings.TrimSpace(body)))
		got := w.do(r)
		wantHead, wantBody, _ := strings.Cut(answer, "\n\n")
		lines := strings.Split(strings.TrimSpace(wantHead), "\n")
		if want := strings.Fields(lines[0])[1]; want != strconv.Itoa(got.StatusCode) {
			t.Errorf("%s\n→ %d, want %s", question, got.StatusCode, want)
		}
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			if got.Header.Get(name) != value {
				t.Errorf("%s\n→ %s: %q, want %q", question, name, got.Header.Get(name), value)
			}
		}
		text, _ := io.ReadAll(got.Body)
		if want := strings.TrimSpace(wantBody); want != "" && want != string(bytes.TrimSpace(text)) {
			t.Errorf("%s\n→ %s, want %s", question, text, want)
		}
	}
}
