package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// rotating is a platform whose key-encryption key is being changed.
type rotating struct {
	t       *testing.T
	dir     string
	token   string
	process *realparts.Process
	admin   *api.Client
	agent   *api.Client
}

func (r *rotating) start() {
	r.t.Helper()
	r.process = realparts.Start(r.t, realparts.Binary(r.t, "simroot"), "platform", "serve", "--data", r.dir, "--listen", "127.0.0.1:0")
	if r.token == "" {
		r.token = r.process.WaitLog(`shown this once: (\S+)`)[1]
	}
	url := r.process.WaitLog(`Serving on (\S+)`)[1]
	roots, err := api.LoadRoots(filepath.Join(r.dir, "ca.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	client := func(token string) *api.Client {
		c, err := api.NewClient(url, api.ClientOptions{Token: token, RootCAs: roots})
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(c.Close)
		return c
	}
	r.admin, r.agent = client(r.token), client("")
}

// status asks for the keys: the current one is first.
func (r *rotating) status() []api.KEK {
	r.t.Helper()
	status, err := r.admin.KEKs(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, k := range status.Keys {
		if k.Missing {
			r.t.Fatalf("%d secrets are under a key that is not there: %+v", k.Secrets, status)
		}
	}
	return status.Keys
}

// keys opens the key-encryption keys in the folder.
func (r *rotating) keys() (keks []envelope.KEK) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "keys", "kek*.key"))
	if err != nil || len(files) == 0 {
		r.t.Fatal(files, err)
	}
	for _, file := range files {
		kek, err := envelope.OpenFileKEK(file, keyfile.Safe{})
		if err != nil {
			r.t.Fatal(err)
		}
		keks = append(keks, kek)
	}
	return keks
}

// readable opens every secret in the database of a platform that does not run, with the keys in its folder, and
// returns how many of each kind there are.
func (r *rotating) readable() map[store.EnvelopeKind]int {
	r.t.Helper()
	keks := r.keys()
	e := envelope.New(keks[0], keks[1:]...)
	rows, err := sqlite.Open(r.t.Context(), filepath.Join(r.dir, "platform.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	found := map[store.EnvelopeKind]int{}
	err = rows.View(r.t.Context(), func(tx store.Tx) error {
		for _, kind := range store.EnvelopeKinds {
			all, err := tx.EnvelopesNotUnder(kind, [8]byte{}, "", 1_000_000)
			if err != nil {
				return err
			}
			for _, s := range all {
				secret, err := e.Open(r.t.Context(), s.Record(), s.Sealed)
				if err != nil {
					return err
				}
				found[kind]++
				if plain := fixture.Plain(s.Key); kind == store.SIMEnvelope && s.Key < onboardable &&
					!bytes.Equal(secret, bytes.Join([][]byte{plain.ENC, plain.MAC, plain.DEK}, nil)) {
					r.t.Errorf("the keys of SIM %s have become others", s.Key)
				}
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// onboardable is where the ICCIDs of SIMs begin that are there, and not only their keys.
const onboardable = "8988211990000000000"

// While a key-encryption key is changed the platform is killed again and again. It goes on by itself each time,
// every secret opens at every moment, and in the end the old key can be taken away.
func TestAKeyEncryptionKeyIsRotatedThoughThePlatformIsKilled(t *testing.T) {
	r := &rotating{t: t, dir: filepath.Join(t.TempDir(), "platform")}
	r.start()
	const many, kills = 4000, 5
	tools := &rig.Rig{Dir: r.dir, Admin: r.admin}
	if err := tools.Fleet(t.Context(), "locks", api.Profile{Type: api.PSKType}); err != nil {
		t.Fatal(err)
	}
	key, err := r.admin.TransportKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var batch bytes.Buffer
	writer, err := api.NewBatchWriter(&batch, key.Key)
	if err != nil {
		t.Fatal(err)
	}
	for n := range many {
		if err := writer.Add(fixture.Plain(fixture.ICCID(n))); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.admin.Import(t.Context(), "locks", &batch); err != nil {
		t.Fatal(err)
	}
	iccids := make([]string, kills+2)
	for i := range iccids {
		iccids[i] = fmt.Sprintf("%s%d", onboardable, i)
	}
	states, err := tools.SIMs(t.Context(), "locks", "common", iccids...)
	if err != nil {
		t.Fatal(err)
	}
	onboard := func() {
		t.Helper()
		d, err := device.New(t.Context(), vsim.NewMemory(states[0]))
		if err == nil {
			_, err = d.Onboard(t.Context(), r.agent)
		}
		if err != nil {
			t.Fatalf("SIM %s is not served: %v", states[0].ICCID, err)
		}
		states = states[1:]
	}
	onboard()
	named := api.WithIdempotencyKey(t.Context(), "named")
	token, err := r.admin.CreateToken(named, api.TokenRequest{Name: "named", Role: api.RoleAuditor})
	if err != nil {
		t.Fatal(err)
	}
	old := r.status()[0]

	realparts.Run(t, realparts.Binary(t, "simroot"), "platform", "kek", "rotate", "--data", r.dir)
	middle := 0
	for n := range kills {
		realparts.WaitFor(t, "secrets to move", func() bool {
			keys := r.status()
			return len(keys) == 2 && keys[0].ID != old.ID && keys[0].Secrets > old.Secrets*n/kills
		})
		r.process.Signal(syscall.SIGKILL)
		r.process.Wait()
		found := r.readable()
		if found[store.SIMEnvelope] != many+len(iccids) || found[store.AnswerEnvelope] != 1 || found[store.CredentialEnvelope] != n+1 {
			t.Fatalf("killed for the %d. time: secrets that open: %v", n+1, found)
		}
		r.start()
		if keys := r.status(); keys[1].Secrets > 0 {
			middle++
		}
		onboard()
	}
	if middle < 2 {
		t.Fatalf("of %d times it was killed %d times in the middle", kills, middle)
	}
	realparts.WaitFor(t, "all secrets to be under the new key", func() bool { return r.status()[1].Secrets == 0 })

	// The old key is withdrawn.
	current := r.status()[0]
	r.process.Stop()
	list, err := os.ReadFile(filepath.Join(r.dir, "keys", "keks"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(list, []byte("\n"))
	if err := os.WriteFile(filepath.Join(r.dir, "keys", "keks"), append(first, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.dir, "keys", "kek.key")); err != nil {
		t.Fatal(err)
	}
	r.readable()
	r.start()
	if keys := r.status(); len(keys) != 1 || keys[0].ID != current.ID {
		t.Errorf("the keys are %+v", keys)
	}
	onboard()
	if again, err := r.admin.CreateToken(named, api.TokenRequest{Name: "named", Role: api.RoleAuditor}); err != nil || !reflect.DeepEqual(again, token) {
		t.Errorf("a request that is repeated is answered %v, %v; before %v", again.ID, err, token.ID)
	}
}
