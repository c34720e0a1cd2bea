package laws

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/internal/testlog"
	"github.com/simroot/simroot/vsim"
)

// keyFiles are the keys that the platform keeps in files, opened with the passphrase.
func (w *world) keyFiles(passphrase string) (all []secret) {
	w.t.Helper()
	safe := keyfile.NewSafe([]byte(passphrase))
	err := filepath.WalkDir(w.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".key" {
			return err
		}
		text, err := safe.Read(file)
		if err != nil {
			return err
		}
		value := text
		if block, _ := pem.Decode(text); block != nil {
			if value, err = privateValue(block.Bytes); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		} else if digits, err := hex.DecodeString(strings.TrimSpace(string(text))); err == nil {
			value = digits
		}
		all = append(all, secret{name: "the key in " + filepath.Base(file), value: value})
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// privateValue is what is private in an ECDSA key.
func privateValue(der []byte) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if key, err = x509.ParseECPrivateKey(der); err != nil {
			return nil, err
		}
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of the type %T", key)
	}
	return private.Bytes()
}

// measured are the metrics and the state of readiness.
func (w *world) measured() []byte {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	served := make(chan error, 1)
	go func() { served <- w.ServeAdmin(ctx, l) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			w.t.Error(err)
		}
	}()
	var all []byte
	for _, path := range []string{"/metrics", "/readyz"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+path, http.NoBody)
		if err != nil {
			w.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

// files are the contents of everything in the platform's directory.
func (w *world) files() map[string][]byte {
	w.t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(w.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(w.Dir, file)
		if err != nil {
			return err
		}
		all[name], err = os.ReadFile(file)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// send makes a request that may be refused.
func (w *world) send(method, path, kind, authorization, body string) int {
	w.t.Helper()
	roots, err := api.LoadRoots(w.TrustAnchor())
	if err != nil {
		w.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode
}

// Of everything that a platform logs, answers, measures and keeps in its files, nothing holds a key
// of a SIM, a PSK, a token, a secret for one use or a key of its own, however it is written; but for
// the one answer that hands a new token or secret to whom it is for.
func TestNothingThatThePlatformSaysOrKeepsHoldsASecret(t *testing.T) {
	const passphrase = "the platform's own passphrase"
	log := testlog.New(t)
	r, err := rig.NewOn(filepath.Join(t.TempDir(), "platform"), platform.Options{
		Passphrase: []byte(passphrase), Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Rig: r, t: t}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	ear := w.overhear()
	secrets := append(w.keyFiles(passphrase), secret{name: "the passphrase", value: []byte(passphrase)})
	if len(secrets) < 6 {
		t.Fatalf("only %d keys found in %s", len(secrets), w.Dir)
	}
	add := func(name, value, told string) { secrets = append(secrets, secret{name, []byte(value), told}) }

	// SIMs, their keys and PSKs.
	const meter, tag = "89882119900000000017", "89882119900000000033"
	w.fleet("meters", api.Profile{EST: &api.EST{}})
	w.fleet("tags", api.Profile{Type: api.PSKType})
	for _, sim := range []struct{ fleet, profile, iccid string }{{"meters", "common", meter}, {"tags", "type2", tag}} {
		state := w.sims(sim.fleet, sim.profile, sim.iccid)[0]
		keys := state.Domain.Keys
		for name, key := range map[string][]byte{"ENC": keys.ENC, "MAC": keys.MAC, "DEK": keys.DEK} {
			add(name+" of SIM "+sim.iccid, string(key), "")
		}
		if _, err := w.onboard(vsim.NewMemory(state)); err != nil {
			t.Fatal(err)
		}
	}
	first, psk := w.active(meter), w.pskOf(w.active(tag).ID)
	add("a PSK", string(psk), "")

	// Tokens and secrets for one use, the answers kept under idempotency keys, and refusals of them.
	made := "POST " + api.PathTokens
	for range 2 { // the second is the answer that was kept
		token, err := w.Admin.CreateToken(keyed(t, "token"), api.TokenRequest{Name: "auditor", Role: api.RoleAuditor})
		if err != nil {
			t.Fatal(err)
		}
		add("a token", token.Secret, made)
		invited, err := w.Admin.InviteAppServer(keyed(t, "invitation"), api.Invitation{Name: "broker"})
		if err != nil {
			t.Fatal(err)
		}
		add("a registration token", invited.Token, "POST "+api.PathAppServers)
		once, err := w.Admin.NewEnrolmentSecret(keyed(t, "enrolment"), meter)
		if err != nil {
			t.Fatal(err)
		}
		add("an EST secret", once.Secret, "POST "+api.PathSIMs+"/"+meter+"/enrolment-secret")
	}
	last := func(name string) (value string) {
		for _, s := range secrets {
			if s.name == name {
				value = string(s.value)
			}
		}
		return value
	}
	request, another := freshRequest(t), freshRequest(t)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(meter+":"+last("an EST secret")))
	enrol := strings.ReplaceAll(api.PathESTEnrol, "{fleet}", "meters")
	body := fmt.Sprintf(`{"token":%q,"csr":%q}`, last("a registration token"), request)
	for _, try := range []struct {
		name, path, kind, authorization, body string
		status                                int
	}{
		{"an enrolment", enrol, "application/pkcs10", basic, request, 200},
		{"an enrolment with a used secret", enrol, "application/pkcs10", basic, another, 401},
		{"a registration", api.PathRegisterAppServer, "application/json", "", body, 200},
		{"a registration cut short", api.PathRegisterAppServer, "application/json", "", body[:len(body)-3], 400},
		{"a token where the role forbids it", api.PathFleets, "application/json", "Bearer " + last("a token"), `{"name":"none"}`, 403},
		{"a token that is none", api.PathFleets, "application/json", "Bearer " + hex.EncodeToString(psk), `{}`, 401},
		{"a SIM key where none belongs", api.PathRelay, "application/json", "", fmt.Sprintf(`{"version":1,"iccid":"%x"}`, last("ENC of SIM "+meter)), 400},
	} {
		if status := w.send("POST", try.path, try.kind, try.authorization, try.body); status != try.status {
			t.Errorf("%s: status %d, want %d", try.name, status, try.status)
		}
	}

	// Application servers that follow, and everything that can be read.
	m := w.middleware(filepath.Join(t.TempDir(), "replica"))
	if err := rig.Await(t.Context(), m, first); err != nil {
		t.Fatal(err)
	}
	w.readAll()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	texts := map[string]searched{"the metrics": search(w.measured())}
	for name, content := range w.files() { // as a running platform keeps them, with what is not yet moved to their place
		texts["the file "+name] = search(content)
	}
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, content := range w.files() {
		texts["the file "+name+" after the end"] = search(content)
	}
	texts["the log"] = search([]byte(log.String()))
	for _, known := range [][2]string{{"the log", api.PathFleets}, {"the metrics", "simroot_requests_total"}, {"the file platform.db after the end", meter}} {
		if !bytes.Contains(texts[known[0]].text, []byte(known[1])) {
			t.Errorf("%s does not hold %q: the test looks in the wrong place", known[0], known[1])
		}
	}
	ear.mu.Lock()
	defer ear.mu.Unlock()
	for operation, content := range ear.answers {
		texts["the answer to "+operation] = search(content.Bytes())
	}
	if len(ear.sessions) != 2 {
		t.Errorf("%d sessions of the relay were heard, want 2", len(ear.sessions))
	}
	for session := range ear.sessions { // the node's name and a random one, which only its agent is told
		add("a session of the relay", session[strings.LastIndex(session, "-")+1:], "POST "+api.PathRelay)
	}
	for _, s := range secrets {
		all, told := writings(s.value), "the answer to "+s.told
		if s.told != "" && texts[told].find(all) == "" {
			t.Errorf("%s is not in %s, which hands it out: the test listens in the wrong place", s.name, told)
		}
		for name, text := range texts {
			if name == told {
				continue
			}
			if writing := text.find(all); writing != "" {
				t.Errorf("%s holds %s (%s)", name, s.name, writing)
			}
		}
	}
}

// freshRequest is a certificate request for a new key, in base64.
func freshRequest(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(csr)
}

// readAll reads every list of the API to its end.
func (w *world) readAll() {
	w.t.Helper()
	drain(w.t, w.Admin.Fleets(w.t.Context()))
	drain(w.t, w.Admin.SIMs(w.t.Context(), api.SIMFilter{}))
	drain(w.t, w.Admin.Credentials(w.t.Context(), api.CredentialFilter{}))
	drain(w.t, w.Admin.Tokens(w.t.Context()))
	drain(w.t, w.Admin.AppServers(w.t.Context()))
	drain(w.t, w.Admin.Audit(w.t.Context()))
	if _, err := w.Admin.KEKs(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func drain[T any](t testing.TB, all func(func(T, error) bool)) {
	t.Helper()
	for _, err := range all {
		if err != nil {
			t.Fatal(err)
		}
	}
}
