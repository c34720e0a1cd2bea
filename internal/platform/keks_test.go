package platform

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// keksWhen asks a platform for its keys until they are as they should be.
func keksWhen(t *testing.T, client *api.Client, good func(api.KEKStatus) bool) api.KEKStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		status, err := client.KEKs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if good(status) {
			return status
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the keys stay as %+v", status)
		}
	}
}

func importSIMs(t *testing.T, client *api.Client, iccids ...string) {
	t.Helper()
	key, err := client.TransportKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "batch")
	for _, iccid := range iccids {
		if err := api.AppendBatch(file, key.Key, fixture.Plain(iccid)); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	if _, err := client.Import(t.Context(), "meters", batch); err != nil {
		t.Fatal(err)
	}
}

func TestTheKeyEncryptionKeyIsRotatedWhileThePlatformServes(t *testing.T) {
	dir, secret := newFolder(t, Options{})
	client, stop := serve(t, dir, secret, Options{})
	if _, err := client.CreateFleet(t.Context(), api.Fleet{Name: "meters", Profile: api.Profile{Type: api.CertificateType}}); err != nil {
		t.Fatal(err)
	}
	importSIMs(t, client, fixture.ICCID(1), fixture.ICCID(2))
	before := keksWhen(t, client, func(s api.KEKStatus) bool { return len(s.Keys) == 1 && s.Keys[0].Secrets == 2 })

	id, name, err := AddKEK(dir, "", true, Options{})
	if err != nil {
		t.Fatal(err)
	}
	after := keksWhen(t, client, func(s api.KEKStatus) bool { return len(s.Keys) == 2 && s.Keys[0].Secrets == 2 })
	if k := after.Keys[0]; k.ID != id.String() || k.Name != name || !k.Current {
		t.Errorf("the current key is %+v, want %s (%s)", k, id, name)
	}
	if k := after.Keys[1]; k.ID != before.Keys[0].ID || k.Current || k.Secrets != 0 {
		t.Errorf("the older key is %+v: it has to stay in use, for backups", k)
	}
	importSIMs(t, client, fixture.ICCID(3))
	keksWhen(t, client, func(s api.KEKStatus) bool { return s.Keys[0].Secrets == 3 })
	stop()

	client, _ = serve(t, dir, secret, Options{})
	keksWhen(t, client, func(s api.KEKStatus) bool { return s.Keys[0].ID == id.String() && s.Keys[0].Secrets == 3 })
}

func TestAKeyThatIsAddedOnlyOpens(t *testing.T) {
	dir, _ := newFolder(t, Options{})
	before, err := readKEKs(folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	_, name, err := AddKEK(dir, "", false, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := readKEKs(folder(dir)); err != nil || len(list) != 2 || list[0] != before[0] || list[1] != name {
		t.Errorf("the list is %q, %v", list, err)
	}
	if _, _, err := AddKEK(dir, name, true, Options{}); err != nil {
		t.Fatal(err)
	}
	if list, err := readKEKs(folder(dir)); err != nil || len(list) != 2 || list[0] != name || list[1] != before[0] {
		t.Errorf("after the rotation to it the list is %q, %v", list, err)
	}
	for _, bad := range []string{"file:../kek.key", "file:absent.key", "nonsense", "pkcs11:token=absent;object=kek"} {
		if _, _, err := AddKEK(dir, bad, true, Options{}); err == nil {
			t.Errorf("%s is taken into use", bad)
		}
	}
	if list, err := readKEKs(folder(dir)); err != nil || len(list) != 2 {
		t.Errorf("a refused key changed the list: %q, %v", list, err)
	}
}

func TestAPlatformUnderAPassphraseOpensWithItOnly(t *testing.T) {
	o := Options{Passphrase: []byte("correct horse")}
	dir, secret := newFolder(t, o)
	for _, file := range []string{"keys/kek.key", "keys/transport.key", "keys/server.key", "ca/root.key", "ca/issuing.key"} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(text), "SIMROOT SEALED KEY") {
			t.Errorf("%s is not encrypted (%v)", file, err)
		}
	}
	for name, wrong := range map[string]Options{"none": {}, "another": {Passphrase: []byte("wrong horse")}} {
		if p, err := Open(dir, wrong); err == nil {
			p.Close()
			t.Errorf("it opens with %s passphrase", name)
		} else if !strings.Contains(err.Error(), "passphrase") {
			t.Errorf("with %s passphrase: %v", name, err)
		}
	}
	client, _ := serve(t, dir, secret, o)
	if _, err := client.CreateFleet(t.Context(), api.Fleet{Name: "meters", Profile: api.Profile{Type: api.CertificateType}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := AddKEK(dir, "", true, o); err != nil {
		t.Fatal(err)
	}
	keksWhen(t, client, func(s api.KEKStatus) bool { return len(s.Keys) == 2 })
}
