package platform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// newFolder initialises a platform and returns its folder and first admin token.
func newFolder(t *testing.T, o Options) (dir, secret string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	secret, err := Init(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return dir, secret
}

// serve serves the platform in dir until the test ends or stop is called, and returns a
// client.
func serve(t *testing.T, dir, secret string, o Options) (client *api.Client, stop func()) {
	t.Helper()
	p, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return serveOpen(t, p, dir, secret)
}

// serveOpen is serve for a platform that is open.
func serveOpen(t *testing.T, p *Platform, dir, secret string) (client *api.Client, stop func()) {
	t.Helper()
	client, _, stop = serveAt(t, p, dir, secret)
	return client, stop
}

// serveAt is serveOpen for who needs the platform's URL.
func serveAt(t *testing.T, p *Platform, dir, secret string) (client *api.Client, url string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	roots, err := api.LoadRoots(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	url = "https://" + l.Addr().String()
	client, err = api.NewClient(url, api.ClientOptions{Token: secret, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		client.Close()
		if err := errors.Join(<-served, p.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return client, url, stop
}

func TestInitMakesAPrivateFolder(t *testing.T) {
	dir, secret := newFolder(t, Options{})
	if secret == "" || !Initialized(dir) {
		t.Fatal("no token, or not initialised")
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); (d.IsDir() || strings.HasSuffix(path, ".key")) && mode&0o077 != 0 {
			t.Errorf("%s has mode %04o", path, mode)
		}
		if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(secret)) {
			t.Errorf("%s holds the admin token in clear", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsInitialisedOverSomethingElse(t *testing.T) {
	dir, _ := newFolder(t, Options{})
	before, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, Options{}); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second time: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil || !bytes.Equal(before, after) {
		t.Error("the second time changed something")
	}

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(foreign, Options{}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over other files: %v", err)
	}
	if _, err := Open(foreign, Options{}); !errors.Is(err, ErrNoPlatform) {
		t.Errorf("open: %v", err)
	}
}

func TestAnEmptyFolderIsMadePrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestKeyFilesThatOthersCanReadAreRefused(t *testing.T) {
	for _, file := range []string{"keys/kek.key", "keys/transport.key", "keys/server.key", "ca/root.key", "ca/issuing.key"} {
		t.Run(file, func(t *testing.T) {
			dir, _ := newFolder(t, Options{})
			path := filepath.Join(dir, filepath.FromSlash(file))
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			p, err := Open(dir, Options{})
			if err == nil {
				p.Close()
				t.Fatal("was opened")
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

func TestTheFirstTokenAdministersAndTheAnchorSuffices(t *testing.T) {
	var log bytes.Buffer
	dir, secret := newFolder(t, Options{})
	client, stop := serve(t, dir, secret, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx := t.Context()

	anchors, err := client.TrustAnchors(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if file, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil || !bytes.Equal(anchors, file) {
		t.Errorf("the anchors served are not those in ca.pem")
	}
	if key, err := client.TransportKey(ctx); err != nil || len(key.Key) != api.SealKeySize {
		t.Errorf("transport key: %v", err)
	}
	if _, err := client.CreateFleet(ctx, api.Fleet{Name: "meters", Profile: api.Profile{}.WithDefaults()}); err != nil {
		t.Fatal(err)
	}
	created, err := client.CreateToken(ctx, api.TokenRequest{Name: "auditor", Role: api.RoleAuditor})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for token, err := range client.Tokens(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, token.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"auditor", "first admin"}) {
		t.Errorf("tokens %v", names)
	}
	if err := client.WithdrawToken(ctx, created.ID); err != nil {
		t.Error(err)
	}
	der, err := client.CRL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseRevocationList(der); err != nil {
		t.Error(err)
	}
	stop()
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), created.Secret) {
		t.Error("the log holds a token")
	}

	// What was answered is there after a restart.
	client, _ = serve(t, dir, secret, Options{})
	if _, err := client.Fleet(ctx, "meters"); err != nil {
		t.Error(err)
	}
	for entry, err := range client.Audit(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(entry.Actor+entry.Note, secret) {
			t.Error("the audit trail holds a token")
		}
	}
}

func TestAnApplicationServersCertificateIsGoodForItsNames(t *testing.T) {
	dir, secret := newFolder(t, Options{})
	client, _ := serve(t, dir, secret, Options{})
	csr, _ := fixture.Request(t)
	issued, err := client.RequestServerCertificate(t.Context(), api.ServerRequest{Names: []string{"broker.example", "192.0.2.7"}, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode([]byte(issued.Chain))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := api.LoadRoots(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	intermediates := x509.NewCertPool()
	intermediates.AppendCertsFromPEM(rest)
	for _, name := range []string{"broker.example", "192.0.2.7"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"a b", "", "*", "ex_ample.org", "[::1]", strings.Repeat("a.", 130)} {
		if _, err := client.RequestServerCertificate(t.Context(), api.ServerRequest{Names: []string{bad}, CSR: csr}); !api.HasCode(err, api.CodeBadRequest) {
			t.Errorf("for %q: %v, want it refused as a bad request", bad, err)
		}
	}
}

// leafOf is the certificate that the platform in dir serves.
func leafOf(t *testing.T, dir string, o Options) *x509.Certificate {
	t.Helper()
	p, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := p.certificate.get(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func TestTheServersCertificateIsKeptUntilItMustBeReplaced(t *testing.T) {
	dir, _ := newFolder(t, Options{Names: []string{"platform.example"}})
	first := leafOf(t, dir, Options{Names: []string{"platform.example"}})
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "platform.example"} {
		if err := first.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if again := leafOf(t, dir, Options{}); !again.Equal(first) {
		t.Error("replaced without need")
	}
	other := leafOf(t, dir, Options{Names: []string{"other.example"}})
	if other.Equal(first) || other.VerifyHostname("other.example") != nil {
		t.Error("not replaced for a further name")
	}
	late := func() time.Time { return other.NotAfter.Add(-24 * time.Hour) }
	if renewed := leafOf(t, dir, Options{Clock: late}); renewed.Equal(other) {
		t.Error("not replaced a day before its end")
	}
}

func TestTheServersCertificateRenewsWhileServing(t *testing.T) {
	dir, _ := newFolder(t, Options{})
	now := time.Now()
	p, err := Open(dir, Options{Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	before, _ := p.certificate.get(nil)
	if err := p.followCAs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if same, _ := p.certificate.get(nil); same != before {
		t.Error("replaced without need")
	}
	now = before.Leaf.NotAfter.Add(-time.Hour)
	if err := p.followCAs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, _ := p.certificate.get(nil); after == before {
		t.Error("not replaced an hour before its end")
	}
}

// Whoever revokes it may have lost its key.
func TestTheServersCertificateIsReplacedWithItsKeyWhenItIsRevoked(t *testing.T) {
	dir, secret := newFolder(t, Options{})
	before := leafOf(t, dir, Options{})
	client, stop := serve(t, dir, secret, Options{})
	if _, err := client.RevokeServerCertificate(t.Context(), ca.SerialText(before.SerialNumber), api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
		t.Fatal(err)
	}
	stop()
	after := leafOf(t, dir, Options{})
	if after.Equal(before) || before.PublicKey.(*ecdsa.PublicKey).Equal(after.PublicKey) {
		t.Error("the certificate or its key is still in use")
	}
	if again := leafOf(t, dir, Options{}); !again.Equal(after) {
		t.Error("replaced without need")
	}
	if err := os.Remove(folder(dir).serverKey()); err != nil { // a cut while it was replaced
		t.Fatal(err)
	}
	if repaired := leafOf(t, dir, Options{}); repaired.PublicKey.(*ecdsa.PublicKey).Equal(after.PublicKey) {
		t.Error("the key that was removed is in use")
	}
}

func TestTwoPlatformsDoNotShareAFolder(t *testing.T) {
	dir, _ := newFolder(t, Options{})
	p, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if second, err := Open(dir, Options{}); err == nil {
		second.Close()
		t.Error("opened twice at once")
	}
}

// Nobody has to ask for it: soon after a change the signed head outside of the database covers its audit entry,
// and so it does when the platform has ended.
func TestTheHeadOfTheAuditLogFollowsEveryChange(t *testing.T) {
	dir, secret := newFolder(t, Options{})
	client, stop := serve(t, dir, secret, Options{})
	create := func(name string) {
		t.Helper()
		if _, err := client.CreateFleet(t.Context(), api.Fleet{Name: name, Profile: api.Profile{Type: api.CertificateType}}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (head api.AuditHead) {
		text, err := os.ReadFile(folder(dir).auditHead())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil {
			if err := json.Unmarshal(text, &head); err != nil {
				t.Fatal(err)
			}
		}
		return head
	}
	last := func() (seq int64) {
		for e, err := range client.Audit(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			seq = e.Seq
		}
		return seq
	}
	for _, name := range []string{"meters", "locks"} {
		create(name)
		seq := last()
		ctx, cancel := context.WithTimeout(t.Context(), jobInterval/2)
		for kept().Seq < seq {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("the head stays at entry %d, and there are %d", kept().Seq, seq)
			}
		}
		cancel()
	}
	create("tags")
	seq := last()
	stop()
	if head := kept(); head.Seq < seq {
		t.Errorf("the platform has ended with the head at entry %d of %d", head.Seq, seq)
	}
}
