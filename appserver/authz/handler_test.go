package authz_test

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/authz"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
)

// forward asks by headers, and returns the ICCID of who may come in, or the reason.
func (w *world) forward(headers ...string) (iccid, reason string) {
	r := httptest.NewRequest("GET", authz.PathForward, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	got := w.do(r)
	if got.StatusCode == http.StatusNoContent {
		return got.Header.Get(authz.HeaderICCID), ""
	}
	return "", got.Header.Get(authz.HeaderReason)
}

func colons(s string) string {
	return strings.Join(strings.Split(strings.ToUpper(fmt.Sprintf("% x", unhex(s))), " "), ":")
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestACertificateIsKnownInEveryFormInWhichServersTellIt(t *testing.T) {
	w := newWorld(t, authz.Options{})
	der := w.sim.Certificate.Leaf.Raw
	print := hex.EncodeToString(w.sim.Fingerprint[:])
	escaped := strings.NewReplacer("%", "%25", "\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(pemOf(w.sim))
	for name, headers := range map[string][]string{
		"nginx":               {authz.HeaderVerify, "SUCCESS", authz.HeaderCertificate, escaped},
		"Traefik":             {authz.HeaderTraefik, base64.StdEncoding.EncodeToString(der)},
		"Traefik, escaped":    {authz.HeaderTraefik, url.QueryEscape(base64.StdEncoding.EncodeToString(der))},
		"Traefik, with chain": {authz.HeaderTraefik, base64.StdEncoding.EncodeToString(der) + "," + base64.StdEncoding.EncodeToString([]byte("CA"))},
		"Caddy":               {authz.HeaderSHA256, print},
		"HAProxy":             {authz.HeaderSHA256, strings.ToUpper(print)},
		"OpenSSL":             {authz.HeaderSHA256, colons(print)},
		"serial":              {authz.HeaderSerial, serialOf(w.sim)},
		"serial, nginx":       {authz.HeaderSerial, "00" + strings.ToUpper(serialOf(w.sim))},
	} {
		if iccid, reason := w.forward(headers...); iccid != w.sim.ICCID {
			t.Errorf("%s: denied, %s", name, reason)
		}
	}
}

func TestWhatCannotBeReadOrIsTwofoldIsDenied(t *testing.T) {
	w := newWorld(t, authz.Options{})
	print, serial := hex.EncodeToString(w.sim.Fingerprint[:]), serialOf(w.sim)
	short := sha1.Sum(w.sim.Certificate.Leaf.Raw)
	for name, c := range map[string]struct {
		headers []string
		reason  string
	}{
		"nothing":            {nil, "malformed"},
		"SHA-1":              {[]string{authz.HeaderSHA256, hex.EncodeToString(short[:])}, "malformed"},
		"twice":              {[]string{authz.HeaderSHA256, print, authz.HeaderSHA256, print}, "malformed"},
		"two ways":           {[]string{authz.HeaderSHA256, print, authz.HeaderSerial, serial}, "malformed"},
		"not verified":       {[]string{authz.HeaderSHA256, print, authz.HeaderVerify, "FAILED:certificate revoked"}, "unknown"},
		"verified and not":   {[]string{authz.HeaderSHA256, print, authz.HeaderVerify, "SUCCESS", authz.HeaderVerify, "FAILED"}, "malformed"},
		"no certificate":     {[]string{authz.HeaderVerify, "NONE", authz.HeaderCertificate, ""}, "unknown"},
		"too long":           {[]string{authz.HeaderCertificate, strings.Repeat("A", 1<<20)}, "malformed"},
		"not URL-encoded":    {[]string{authz.HeaderCertificate, "%zz"}, "malformed"},
		"serial, words":      {[]string{authz.HeaderSerial, "no number"}, "unknown"},
		"serial, zero":       {[]string{authz.HeaderSerial, "000"}, "unknown"},
		"another's":          {[]string{authz.HeaderSHA256, strings.Repeat("ab", 32)}, "unknown"},
		"all zero":           {[]string{authz.HeaderSHA256, strings.Repeat("00", 32)}, "unknown"},
		"revoked":            {[]string{authz.HeaderCertificate, url.PathEscape(pemOf(w.revoked))}, "revoked"},
		"revoked, by serial": {[]string{authz.HeaderSerial, serialOf(w.revoked)}, "revoked"},
	} {
		if iccid, reason := w.forward(c.headers...); iccid != "" || reason != c.reason {
			t.Errorf("%s: let in %q, reason %q, want %q", name, iccid, reason, c.reason)
		}
	}
	for _, body := range []string{"", "{", "null", `{"iccid":7}`, `{"iccid":"` + w.sim.ICCID + `"}{}`, `{"iccid":"` + w.sim.ICCID + `","serial":"1"}`, `{"iccid":"x"}`, strings.Repeat(" ", 1<<20) + "{}"} {
		got := w.do(httptest.NewRequest("POST", authz.PathAuthorise, strings.NewReader(body)))
		text, _ := io.ReadAll(got.Body)
		if got.StatusCode != http.StatusOK || !strings.Contains(string(text), `"result":"deny"`) {
			t.Errorf("%.60s → %d %s", body, got.StatusCode, text)
		}
	}
}

func TestAnswersFollowTheStateOfTheSIM(t *testing.T) {
	w := newWorld(t, authz.Options{})
	serial := serialOf(w.sim)
	for _, step := range []struct {
		change func()
		want   string
	}{
		{func() {}, ""},
		{func() { w.SetSIM(w.sim.ICCID, api.Suspended) }, "suspended"},
		{func() { w.SetSIM(w.sim.ICCID, api.Provisioned) }, ""},
		{func() { w.SetSIM(w.sim.ICCID, api.Terminated) }, "terminated"},
		{func() { w.SetCredential(w.sim.Credential, api.Superseded) }, "superseded"},
	} {
		step.change()
		w.InStep(t)
		if iccid, reason := w.forward(authz.HeaderSerial, serial); reason != step.want || (iccid == w.sim.ICCID) != (step.want == "") {
			t.Errorf("%q, reason %q, want %q", iccid, reason, step.want)
		}
	}
}

func TestAPSKIsAnsweredForByItsIdentity(t *testing.T) {
	w := newWorld(t, authz.Options{})
	key := w.ProvisionPSK(t, platformtest.ICCID(3), w.Public)
	w.InStep(t)
	ask := func(body string) string {
		text, _ := io.ReadAll(w.do(httptest.NewRequest("POST", authz.PathAuthorise, strings.NewReader(body))).Body)
		return string(text)
	}
	if got := ask(`{"psk_identity":"` + key.Identity + `"}`); !strings.Contains(got, platformtest.ICCID(3)) {
		t.Error(got)
	}
	// The name of a SIM that has no certificate opens no door for those.
	if got := ask(`{"iccid":"` + platformtest.ICCID(3) + `"}`); !strings.Contains(got, `"deny"`) {
		t.Error(got)
	}
}

func TestWhoAsksMustHaveTheToken(t *testing.T) {
	w := newWorld(t, authz.Options{Token: "opensesame"})
	for header, want := range map[string]int{"": 401, "Bearer ": 401, "Bearer opensesame2": 401, "opensesam": 401, "Bearer opensesame": 204} {
		r := httptest.NewRequest("GET", authz.PathForward, nil)
		r.Header.Set(authz.HeaderSerial, serialOf(w.sim))
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		if got := w.do(r); got.StatusCode != want {
			t.Errorf("%q → %d, want %d", header, got.StatusCode, want)
		}
	}
}

func TestAFloodOfQuestionsIsDenied(t *testing.T) {
	w := newWorld(t, authz.Options{Rate: 3})
	var reasons []string
	for range 50 {
		_, reason := w.forward(authz.HeaderSerial, serialOf(w.sim))
		reasons = append(reasons, reason)
	}
	if reasons[0] != "" || !slices.Contains(reasons, "busy") {
		t.Errorf("reasons %q", reasons)
	}
}

func TestOffLoopbackOnlyWhoProvesItselfMayAsk(t *testing.T) {
	ca := platformtest.NewCA(t)
	certificate := ca.Server(t, "127.0.0.1")
	for name, c := range map[string]struct {
		o  authz.ListenOptions
		ok bool
	}{
		"loopback":                  {authz.ListenOptions{Address: "127.0.0.1:0"}, true},
		"everywhere, in clear":      {authz.ListenOptions{Address: ":0"}, false},
		"everywhere, token, clear":  {authz.ListenOptions{Address: "0.0.0.0:0", Token: true}, false},
		"everywhere, TLS, anyone":   {authz.ListenOptions{Address: "[::]:0", Certificate: &certificate}, false},
		"everywhere, TLS and token": {authz.ListenOptions{Address: "0.0.0.0:0", Certificate: &certificate, Token: true}, true},
		"client CA without TLS":     {authz.ListenOptions{Address: "127.0.0.1:0", ClientCAs: ca.Roots}, false},
		"no port":                   {authz.ListenOptions{Address: "127.0.0.1"}, false},
	} {
		ln, err := authz.Listen(c.o)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if ln != nil {
			ln.Close()
		}
	}
}

func TestMutualTLSLetsOnlyHoldersOfACertificateAsk(t *testing.T) {
	w := newWorld(t, authz.Options{})
	mine := platformtest.NewCA(t)
	certificate := mine.Server(t, "127.0.0.1")
	ln, err := authz.Listen(authz.ListenOptions{Address: "127.0.0.1:0", Certificate: &certificate, ClientCAs: mine.Roots})
	if err != nil {
		t.Fatal(err)
	}
	servertest.Run(t, func(ctx context.Context) error { return w.handler.Serve(ctx, ln) })
	asker := mine.Device(t, "proxy")
	asker.Certificate = append(asker.Certificate, mine.Server(t, "x").Certificate[1]) // the issuing CA
	for name, own := range map[string][]tls.Certificate{"none": nil, "its own": {asker}, "a SIM's": {w.sim.Certificate}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: mine.Roots, Certificates: own}}}
		r, _ := http.NewRequest("GET", "https://"+ln.Addr().String()+authz.PathForward, nil)
		r.Header.Set(authz.HeaderSerial, serialOf(w.sim))
		got, err := client.Do(r)
		if err == nil {
			got.Body.Close()
		}
		if ok := err == nil && got.StatusCode == 204; ok != (name == "its own") {
			t.Errorf("%s: answered %v, %v", name, ok, err)
		}
		client.CloseIdleConnections()
	}
}

func TestASocketThatADeadProcessLeftIsReplacedAndALiveOneIsNot(t *testing.T) {
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	first, err := authz.Listen(authz.ListenOptions{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authz.Listen(authz.ListenOptions{Address: address}); err == nil {
		t.Error("two listen")
	}
	first.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false)
	first.Close()
	second, err := authz.Listen(authz.ListenOptions{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// Nothing that a stranger can make up is let in.
func FuzzOnlyKnownCertificatesAreLetIn(f *testing.F) {
	w := newWorld(f, authz.Options{Rate: 1 << 30})
	for _, seed := range []string{"", "%", "AAAA", "-----BEGIN CERTIFICATE-----", "00:11", `{"iccid":""}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{authz.HeaderCertificate, authz.HeaderTraefik, authz.HeaderSHA256} {
			if iccid, _ := w.forward(name, text); iccid != "" {
				t.Errorf("%s: %q is let in as %s", name, text, iccid)
			}
		}
		got := w.do(httptest.NewRequest("POST", authz.PathAuthorise, strings.NewReader(text)))
		if answer, _ := io.ReadAll(got.Body); !strings.Contains(string(answer), `"deny"`) && !strings.Contains(text, w.sim.ICCID) {
			t.Errorf("%q → %s", text, answer)
		}
	})
}

// BenchmarkForwardAuth asks as nginx does, with a whole certificate, over a connection that stays open.
func BenchmarkForwardAuth(b *testing.B) {
	w := newWorld(b, authz.Options{Rate: 1 << 30})
	ln, err := authz.Listen(authz.ListenOptions{Address: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	servertest.Run(b, func(ctx context.Context) error { return w.handler.Serve(ctx, ln) })
	r, _ := http.NewRequest("GET", "http://"+ln.Addr().String()+authz.PathForward, nil)
	r.Header.Set(authz.HeaderCertificate, url.PathEscape(pemOf(w.sim)))
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		got, err := http.DefaultClient.Do(r)
		if err != nil || got.StatusCode != 204 {
			b.Fatal(got, err)
		}
		got.Body.Close()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}
