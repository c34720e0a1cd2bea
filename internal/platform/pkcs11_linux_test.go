//go:build pkcs11

package platform

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// softHSM makes a SoftHSM token and returns how the URI of a key in it begins and ends.
func softHSM(t *testing.T) func(id, label string) string {
	t.Helper()
	var module string
	for _, file := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(file); err == nil {
			module = file
		}
	}
	if module == "" {
		t.Fatal("SoftHSM is not installed: run scripts/deps")
	}
	dir := t.TempDir()
	conf, pin := filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "pin")
	for file, text := range map[string]string{conf: fmt.Sprintf("directories.tokendir = %s\nlog.level = ERROR\n", dir), pin: "4321"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.CommandContext(t.Context(), "softhsm2-util", "--init-token", "--free", "--label", "simroot", "--so-pin", "1234", "--pin", "4321").CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	return func(id, label string) string {
		return fmt.Sprintf("pkcs11:module-path=%s;token=simroot;id=%s;object=%s?pin-source=%s", module, id, label, pin)
	}
}

// The CA's key and the key-encryption key are made and used in a PKCS#11 token: none of them is in
// the folder. The key-encryption key is rotated, from a file into the token, and there from one to another.
func TestTheKeysOfThePlatformLieInAPKCS11Token(t *testing.T) {
	uri := softHSM(t)
	dir, secret := newFolder(t, Options{KEK: uri("02", "kek"), CAKey: uri("01", "ca")})
	for _, absent := range []string{"ca/issuing.key", "keys/kek.key"} {
		if _, err := os.Stat(filepath.Join(dir, absent)); !os.IsNotExist(err) {
			t.Errorf("%s is in the folder (%v)", absent, err)
		}
	}
	client, stop := serve(t, dir, secret, Options{}) // whose own certificate the token has signed
	if _, err := client.CreateFleet(t.Context(), api.Fleet{Name: "meters", Profile: api.Profile{Type: api.CertificateType}}); err != nil {
		t.Fatal(err)
	}
	importSIMs(t, client, fixture.ICCID(1), fixture.ICCID(2))
	status := keksWhen(t, client, func(s api.KEKStatus) bool { return s.Keys[0].Secrets == 2 })
	if name := status.Keys[0].Name; !strings.HasPrefix(name, "pkcs11:") || strings.Contains(name, "pin") {
		t.Errorf("the key is shown as %q", name)
	}
	id, _, err := AddKEK(dir, uri("03", "kek-2"), true, Options{})
	if err != nil {
		t.Fatal(err)
	}
	keksWhen(t, client, func(s api.KEKStatus) bool { return s.Keys[0].ID == id.String() && s.Keys[0].Secrets == 2 })
	if id, _, err = AddKEK(dir, "", true, Options{}); err != nil { // and out of the token
		t.Fatal(err)
	}
	keksWhen(t, client, func(s api.KEKStatus) bool { return s.Keys[0].ID == id.String() && s.Keys[0].Secrets == 2 })
	stop()
	t.Run("the CA's rollover", func(t *testing.T) { rolloverInToken(t, uri) })

	pin := uri("", "")[strings.Index(uri("", ""), "pin-source=")+len("pin-source="):]
	if err := os.Chmod(pin, 0o644); err != nil {
		t.Fatal(err)
	}
	if p, err := Open(dir, Options{}); err == nil {
		p.Close()
		t.Error("a PIN that all can read is used")
	} else if !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}

// rolloverInToken has the next CA's key made in the token too, as ca/next.uri says. It is another one.
func rolloverInToken(t *testing.T, uri func(id, label string) string) {
	dir, _ := newFolder(t, Options{CAKey: uri("11", "ca-1")})
	open := func() *Platform {
		t.Helper()
		p, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := open()
	begin := func() error {
		_, err := p.rollover.Begin(t.Context(), "test", api.Change{})
		return err
	}
	next := func(uri string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "ca", "next.uri"), []byte(uri+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fixture.Refused(t, begin(), api.CodeConflict) // nobody has said where
	next(uri("11", "ca-1"))
	fixture.Refused(t, begin(), api.CodeConflict) // the present one
	next(uri("12", "ca-2"))
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.rollover.Finish(t.Context(), "test", api.FinishRollover{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = open()
	defer p.Close()
	if err := p.authority.Check(p.options.Clock()); err != nil {
		t.Error(err)
	}
	if keys, err := filepath.Glob(filepath.Join(dir, "ca", "*", "issuing.*")); err != nil || len(keys) != 2 { // certificate and URI
		t.Errorf("the second CA has %v, %v", keys, err)
	}
}
