package laws

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/issuer"
	"github.com/simroot/simroot/internal/platform"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/internal/testlog"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

// send makes a request that may be refused.
func (w *world) send(method, path, kind, authorization, body string) (status int, content []byte) {
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
	content, err = io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode, content
}

// secrecy is the law at work: a platform that does all that it can do, and what of that is secret.
type secrecy struct {
	*world
	rows    database
	ear     *eavesdropper
	safe    keyfile.Safe   // of the platform's key files
	first   api.Credential // the meter's
	secrets []secret
}

// ownPassphrase is what the platform's key files are under.
const ownPassphrase = "the platform's own passphrase"

func (s *secrecy) add(name, value, told string) {
	s.secrets = append(s.secrets, secret{name, []byte(value), told})
}

// last is the last secret of a name.
func (s *secrecy) last(name string) string {
	s.t.Helper()
	for _, one := range slices.Backward(s.secrets) {
		if one.name == name {
			return string(one.value)
		}
	}
	s.t.Fatalf("there is no %s", name)
	return ""
}

// ownKeys adds the platform's keys in files that there are now, and tells how many are new.
func (s *secrecy) ownKeys() (fresh int) {
	for _, key := range s.keyFiles(s.safe) {
		if !slices.ContainsFunc(s.secrets, func(known secret) bool { return bytes.Equal(known.value, key.value) }) {
			s.secrets = append(s.secrets, key)
			fresh++
		}
	}
	return fresh
}

const secretMeter, secretTag, secretLot = "89882119900000000017", "89882119900000000033", "89882119900000000041"

func (s *secrecy) addKeysOf(state image.State, iccid string) {
	keys := state.Domain.Keys
	for name, key := range map[string][]byte{"ENC": keys.ENC, "MAC": keys.MAC, "DEK": keys.DEK} {
		s.add(name+" of SIM "+iccid, string(key), "")
	}
}

// onboardSIMs adds the keys of two SIMs, and the PSK of one.
func (s *secrecy) onboardSIMs() {
	s.fleet("meters", api.Profile{EST: &api.EST{ServerKeygen: true}})
	s.fleet("tags", api.Profile{Type: api.PSKType})
	for _, sim := range []struct{ fleet, profile, iccid string }{{"meters", "common", secretMeter}, {"tags", "type2", secretTag}} {
		state := s.sims(sim.fleet, sim.profile, sim.iccid)[0]
		s.addKeysOf(state, sim.iccid)
		if _, err := s.onboard(vsim.NewMemory(state)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.first = s.active(secretMeter)
	s.add("a PSK", string(s.pskOf(s.active(secretTag).ID)), "")
}

// makeTokens adds tokens and secrets for one use, and has the answers kept under idempotency keys.
func (s *secrecy) makeTokens() {
	for range 2 { // the second is the answer that was kept
		for _, role := range []api.Role{api.RoleAuditor, api.RoleAdmin} {
			token, err := s.Admin.CreateToken(keyed(s.t, "token-"+string(role)), api.TokenRequest{Name: "one more", Role: role})
			if err != nil {
				s.t.Fatal(err)
			}
			s.add("a token for "+string(role), token.Secret, "POST "+api.PathTokens)
		}
		invited, err := s.Admin.InviteAppServer(keyed(s.t, "invitation"), api.Invitation{Name: "broker"})
		if err != nil {
			s.t.Fatal(err)
		}
		s.add("a registration token", invited.Token, "POST "+api.PathAppServers)
		once, err := s.Admin.NewEnrolmentSecret(keyed(s.t, "enrolment"), secretMeter)
		if err != nil {
			s.t.Fatal(err)
		}
		s.add("an EST secret", once.Secret, "POST "+api.PathSIMs+"/"+secretMeter+"/enrolment-secret")
	}
}

// useTokens uses what was made, also where it is refused.
func (s *secrecy) useTokens() {
	request, another := freshRequest(s.t), freshRequest(s.t)
	enrol := strings.ReplaceAll(api.PathESTEnrol, "{fleet}", "meters")
	body := fmt.Sprintf(`{"token":%q,"csr":%q}`, s.last("a registration token"), request)
	for _, try := range []struct {
		name, path, kind, authorization, body string
		status                                int
	}{
		{"an enrolment", enrol, "application/pkcs10", s.basic(), request, 200},
		{"an enrolment with a used secret", enrol, "application/pkcs10", s.basic(), another, 401},
		{"a registration", api.PathRegisterAppServer, "application/json", "", body, 200},
		{"a registration cut short", api.PathRegisterAppServer, "application/json", "", body[:len(body)-3], 400},
		{"a token where the role forbids it", api.PathFleets, "application/json", "Bearer " + s.last("a token for auditor"), `{"name":"none"}`, 403},
		{"an admin's token with nonsense", api.PathFleets, "application/json", "Bearer " + s.last("a token for admin"), `{"name":1}`, 400},
		{"a token that is none", api.PathFleets, "application/json", "Bearer " + hex.EncodeToString([]byte(s.last("a PSK"))), `{}`, 401},
		{"a SIM key where none belongs", api.PathRelay, "application/json", "", fmt.Sprintf(`{"version":1,"iccid":"%x"}`, s.last("ENC of SIM "+secretMeter)), 400},
	} {
		if status, _ := s.send("POST", try.path, try.kind, try.authorization, try.body); status != try.status {
			s.t.Errorf("%s: status %d, want %d", try.name, status, try.status)
		}
	}
}

// basic is how the meter identifies itself over EST.
func (s *secrecy) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(secretMeter+":"+s.last("an EST secret")))
}

// makeDeviceKey adds a key that the platform makes for a device.
func (s *secrecy) makeDeviceKey() {
	once, err := s.Admin.NewEnrolmentSecret(s.t.Context(), secretMeter)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add("an EST secret", once.Secret, "POST "+api.PathSIMs+"/"+secretMeter+"/enrolment-secret")
	path := strings.ReplaceAll(api.PathESTServerKeygen, "{fleet}", "meters")
	status, answer := s.send("POST", path, "application/pkcs10", s.basic(), freshRequest(s.t))
	if status != http.StatusOK {
		s.t.Fatalf("a key that the platform makes: status %d", status)
	}
	boundary, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(answer)), "--"), "\r\n")
	part, err := multipart.NewReader(bytes.NewReader(answer), boundary).NextPart()
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := privateValue(der)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add("a key made for a device", string(private), "POST "+path)
}

// makeBatchKeys adds the private halves of three transport keys, which the platform alone has, imports a
// batch under the first and withdraws the second, which erases them.
func (s *secrecy) makeBatchKeys() {
	var keys [][]byte
	for range 3 {
		key, err := s.Admin.NewBatchKey(s.t.Context(), api.BatchKeyRequest{Note: "lot 7"})
		if err != nil {
			s.t.Fatal(err)
		}
		keys = append(keys, key.Key)
		s.add("the private half of a transport key", string(s.privateHalf(key.Key)), "")
	}
	state, err := vsim.Profile("common", secretLot)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addKeysOf(state, secretLot)
	var batch bytes.Buffer
	writer, err := api.NewBatchWriter(&batch, keys[0])
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(writer.Add(issuer.BatchEntry(state)), writer.Close()); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.Admin.Import(s.t.Context(), "meters", &batch); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Admin.WithdrawBatchKey(s.t.Context(), keys[1]); err != nil {
		s.t.Fatal(err)
	}
}

// privateHalf is what only the platform can read of a transport key.
func (s *secrecy) privateHalf(public []byte) []byte {
	s.t.Helper()
	kek, err := envelope.OpenFileKEK(filepath.Join(s.Dir, "keys", "kek.key"), s.safe)
	if err != nil {
		s.t.Fatal(err)
	}
	rows, err := s.rows.open(s.world)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	e := store.Envelope{Kind: store.TransportEnvelope, Key: hex.EncodeToString(public)}
	if err := rows.View(s.t.Context(), func(tx store.Tx) error {
		row, err := tx.TransportKey(e.Key)
		e.Sealed = row.Secret
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	private, err := envelope.New(kek).Open(s.t.Context(), e.Record(), e.Sealed)
	if err != nil {
		s.t.Fatal(err)
	}
	if again, err := api.SealPublic(private); err != nil || !bytes.Equal(again, public) {
		s.t.Fatalf("this is not the private half: %v", err)
	}
	return private
}

// changeKeys takes the platform to another key-encryption key, and to another CA, under which a SIM comes again.
func (s *secrecy) changeKeys() {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	id, _, err := platform.AddKEK(s.Dir, "", true, platform.Options{Passphrase: []byte(ownPassphrase)})
	if err != nil {
		s.t.Fatal(err)
	}
	for moved := false; !moved; {
		status, err := s.Admin.KEKs(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		moved = len(status.Keys) == 2 && status.Keys[0].ID == id.String() && status.Keys[0].Secrets > 0 && status.Keys[1].Secrets == 0
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("the secrets do not move to the new key: %+v", status)
		}
	}
	if n := s.ownKeys(); n != 1 {
		s.t.Errorf("%d new keys in files after the rotation, want 1", n)
	}
	if _, err := s.Admin.BeginRollover(ctx, api.Change{}); err != nil {
		s.t.Fatal(err)
	}
	if n := s.ownKeys(); n != 2 {
		s.t.Errorf("%d new keys in files when the CA rolls over, want 2: of the root and of the issuing CA", n)
	}
	if _, err := s.Admin.FinishRollover(ctx, api.FinishRollover{Force: true}); err != nil {
		s.t.Fatal(err)
	}
	s.makeDeviceKey()
}

// follow runs an application server, with its secrets, and reads all lists.
func (s *secrecy) follow() {
	m := s.middleware(filepath.Join(s.t.TempDir(), "replica"))
	if err := errors.Join(rig.Await(s.t.Context(), m, s.first), m.SecretsReady(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
	s.readAll()
	if err := m.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// Of everything that a platform logs, answers, measures and keeps in its files and its database, nothing holds
// a key of a SIM, a PSK, a token, a secret for one use, a key that it made for others or one of its own,
// however it is written; but for the one answer that hands a new token, secret or key to whom it is for.
func TestNothingThatThePlatformSaysOrKeepsHoldsASecret(t *testing.T) {
	nothingHoldsASecret(t, inSQLite)
}

func nothingHoldsASecret(t *testing.T, rows database) {
	log := testlog.New(t)
	r, err := rig.NewOn(filepath.Join(t.TempDir(), "platform"), platform.Options{
		Passphrase: []byte(ownPassphrase), Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Store: rows.connection,
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
	s := &secrecy{world: w, rows: rows, safe: keyfile.NewSafe([]byte(ownPassphrase))}
	s.add("the passphrase", ownPassphrase, "")
	s.add("the first admin token", w.Token, "")
	if n := s.ownKeys(); n < 6 {
		t.Fatalf("only %d keys found in %s", n, w.Dir)
	}
	s.ear = w.overhear()
	s.add("an admin token that was made unheard", w.Token, "")
	s.onboardSIMs()
	s.makeTokens()
	s.useTokens()
	s.makeDeviceKey()
	s.makeBatchKeys()
	s.changeKeys()
	s.follow()

	texts := map[string]searched{"the metrics": search(w.measured())}
	for name, content := range w.files() { // as a running platform keeps them, with what is not yet moved to their place
		texts["the file "+name] = search(content)
	}
	for name, content := range rows.content(w) {
		texts[name] = search(content)
	}
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, content := range w.files() {
		texts["the file "+name+" after the end"] = search(content)
	}
	texts["the log"] = search([]byte(log.String()))
	for _, known := range [][2]string{{"the log", api.PathFleets}, {"the metrics", "simroot_requests_total"}, {rows.known, secretMeter}} {
		if !bytes.Contains(texts[known[0]].text, []byte(known[1])) {
			t.Errorf("%s does not hold %q: the test looks in the wrong place", known[0], known[1])
		}
	}
	s.ear.mu.Lock()
	defer s.ear.mu.Unlock()
	for operation, content := range s.ear.answers {
		texts["the answer to "+operation] = search(content.Bytes())
	}
	if len(s.ear.sessions) != 2 {
		t.Errorf("%d sessions of the relay were heard, want 2", len(s.ear.sessions))
	}
	for session := range s.ear.sessions { // the node's name and a random one, which only its agent is told
		s.add("a session of the relay", session[strings.LastIndex(session, "-")+1:], "POST "+api.PathRelay)
	}
	for _, one := range s.secrets {
		all, told := writings(one.value), "the answer to "+one.told
		if one.told != "" && texts[told].find(all) == "" {
			t.Errorf("%s is not in %s, which hands it out: the test listens in the wrong place", one.name, told)
		}
		for name, text := range texts {
			if name == told {
				continue
			}
			if writing := text.find(all); writing != "" {
				t.Errorf("%s holds %s (%s)", name, one.name, writing)
			}
		}
	}
}

// freshRequest is a certificate request for a new key, in base64.
func freshRequest(t testing.TB) string {
	t.Helper()
	csr, _ := fixture.Request(t)
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
	drain(w.t, w.Admin.BatchKeys(w.t.Context()))
	drain(w.t, w.Admin.ServerCertificates(w.t.Context()))
	drain(w.t, w.Admin.Campaigns(w.t.Context()))
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
