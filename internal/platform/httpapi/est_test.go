package httpapi

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/est"
)

// enrol posts a request of EST.
func enrol(s *Server, path, contentType, body, password string) *http.Response {
	r := httptest.NewRequest("POST", "https://platform/.well-known/est/meters/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Content-Transfer-Encoding", "base64")
	if password != "" {
		r.SetBasicAuth(knownICCID, password)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestAnswersOfESTNameTheirTypeAndEncoding(t *testing.T) {
	s, _ := newServer(t, newFake())
	answer := enrol(s, "simpleenroll", "application/pkcs10", "MIH", "good")
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != 200 || string(body) != "a certificate for MIH" ||
		answer.Header.Get("Content-Type") != certsOnlyType || answer.Header.Get("Content-Transfer-Encoding") != "base64" {
		t.Errorf("status %d, %v: %s", answer.StatusCode, answer.Header, body)
	}
}

func TestESTAsksStrangersForBasicAuthentication(t *testing.T) {
	s, _ := newServer(t, newFake())
	for _, path := range []string{"simpleenroll", "simplereenroll", "serverkeygen"} {
		answer := enrol(s, path, "application/pkcs10", "MIH", "wrong")
		if e := refusal(t, answer); e.Code != api.CodeUnauthorized || answer.Header.Get("WWW-Authenticate") != basicChallenge {
			t.Errorf("%s: %+v, %v", path, e, answer.Header)
		}
	}
}

func TestESTRefusesOtherTypesAndLongRequests(t *testing.T) {
	s, _ := newServer(t, newFake())
	if e := refusal(t, enrol(s, "simpleenroll", "application/x-www-form-urlencoded", "MIH", "good")); e.Status != 415 || !strings.Contains(e.Detail, "application/pkcs10") {
		t.Errorf("%+v", e)
	}
	if e := refusal(t, enrol(s, "simpleenroll", "application/pkcs10", strings.Repeat("A", est.MaxRequest+1), "good")); e.Status != 413 {
		t.Errorf("%+v", e)
	}
}

func TestAKeyThatThePlatformMadeComesInTwoParts(t *testing.T) {
	s, _ := newServer(t, newFake())
	answer := enrol(s, "serverkeygen", "application/pkcs10", "MIH", "good")
	kind, params, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("%q: %v", answer.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(answer.Body, params["boundary"])
	for _, want := range [][2]string{{keyType, "a key in base64"}, {certsOnlyType, "a certificate for MIH"}} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(part)
		if part.Header.Get("Content-Type") != want[0] || part.Header.Get("Content-Transfer-Encoding") != "base64" || string(content) != want[1] {
			t.Errorf("%v: %q, want %q", part.Header, content, want)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the second part: %v", err)
	}
}
