package rollover_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/fixture"
)

func parseAll(t *testing.T, text []byte) (all []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func poolOf(all ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range all {
		p.AddCert(c)
	}
	return p
}

// server has a server's certificate issued and returns it with its chain.
func server(t *testing.T, c *ca.CA) (leaf *x509.Certificate, chain []*x509.Certificate) {
	t.Helper()
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	der, err := c.IssueServer([]string{"server.example"}, key)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return leaf, parseAll(t, c.Chain(der))[1:]
}

func trusted(leaf *x509.Certificate, chain []*x509.Certificate, roots ...*x509.Certificate) error {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: poolOf(roots...), Intermediates: poolOf(chain...), DNSName: "server.example"})
	return err
}

// must is for steps that must succeed.
func must(t *testing.T) func(api.CARollover, error) api.CARollover {
	return func(s api.CARollover, err error) api.CARollover {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// copyKeys copies a folder, private as it is.
func copyKeys(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(file, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reopened is the CA as another process finds it.
func reopened(t *testing.T, w *fixture.World) *ca.CA {
	t.Helper()
	c, err := ca.Open(t.Context(), w.Store, filepath.Join(w.Dir, "ca"), ca.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARolloverNeverShowsWhatSomebodyDoesNotTrust(t *testing.T) {
	w, ctx := fixture.New(t), t.Context()
	c := w.CA
	old := c.Root()
	oldLeaf, oldChain := server(t, c)
	chainOfOld := c.Chain(oldLeaf.Raw)
	first := c.OnSIM()

	for range 2 { // a repetition changes nothing
		must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
	}
	roots := parseAll(t, c.Anchors())
	if len(roots) != 2 || !roots[0].Equal(old) || len(parseAll(t, c.Issuers())) != 2 {
		t.Fatalf("%d roots are published, want both", len(roots))
	}
	fresh := roots[1]
	if on := c.OnSIM(); on.Set == first.Set || !on.Places[0].Equal(old) || !on.Places[1].Equal(fresh) {
		t.Error("want the old root where it was, and the new one in the other place")
	}
	if leaf, chain := server(t, c); trusted(leaf, chain, old) != nil {
		t.Error("before the end the old CA does not issue any more")
	}

	must(t)(w.Rollover.Finish(ctx, "test", api.FinishRollover{}))
	if !bytes.Equal(c.Chain(oldLeaf.Raw), chainOfOld) {
		t.Error("a certificate of the old CA has another chain since the new one issues")
	}
	for name, c := range map[string]*ca.CA{"this": c, "one that was opened anew": reopened(t, w)} {
		leaf, chain := server(t, c)
		for who, err := range map[string]error{
			"who knows only the old root": trusted(leaf, chain, old),
			"who knows only the new root": trusted(leaf, chain, fresh),
			"who knows both":              trusted(leaf, chain, old, fresh),
			"a certificate of the old CA": trusted(oldLeaf, oldChain, parseAll(t, c.Anchors())...),
		} {
			if err != nil {
				t.Errorf("%s CA, %s: %v", name, who, err)
			}
		}
	}

	_, err := w.Rollover.Begin(ctx, "test", api.Change{})
	fixture.Refused(t, err, api.CodeConflict) // a third CA beside two
	_, err = w.Rollover.Abort(ctx, "test", api.Change{})
	fixture.Refused(t, err, api.CodeConflict) // it is finished
	w.Pass(91 * 24 * time.Hour)
	if err := w.Rollover.Work(ctx); err != nil {
		t.Fatal(err)
	}
	if on := c.OnSIM(); on.Places[0] != nil || !on.Places[1].Equal(fresh) {
		t.Error("want the new root alone, where it is")
	}
	must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
	if on := c.OnSIM(); on.Places[0] == nil || !on.Places[1].Equal(fresh) {
		t.Error("want the third root in the place of the first")
	}
}

func TestAnAbortedRolloverLeavesNoKeys(t *testing.T) {
	w, ctx := fixture.New(t), t.Context()
	before := w.CA.Anchors()
	must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
	copied := t.TempDir() // on another node
	copyKeys(t, filepath.Join(copied, "ca"), filepath.Join(w.Dir, "ca"))
	for range 2 {
		must(t)(w.Rollover.Abort(ctx, "test", api.Change{}))
	}
	if !bytes.Equal(w.CA.Anchors(), before) || !bytes.Equal(reopened(t, w).Anchors(), before) {
		t.Error("the aborted root is still published")
	}
	if _, err := ca.Open(ctx, w.Store, filepath.Join(copied, "ca"), ca.Keys{}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{w.Dir, copied} {
		if keys, err := filepath.Glob(filepath.Join(dir, "ca", "*", "*")); err != nil || len(keys) > 0 {
			t.Errorf("left behind: %v, %v", keys, err)
		}
	}
	// The next one has the number of the one that was aborted.
	must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
	must(t)(w.Rollover.Finish(ctx, "test", api.FinishRollover{}))
	leaf, chain := server(t, reopened(t, w))
	if err := trusted(leaf, chain, w.CA.Root()); err != nil {
		t.Error(err)
	}
}

func TestWithoutTheOldRootsKeyTheNewOneStandsAlone(t *testing.T) {
	w, ctx := fixture.New(t), t.Context()
	old := w.CA.Root()
	if err := os.Remove(filepath.Join(w.Dir, "ca", "root.key")); err != nil {
		t.Fatal(err)
	}
	if s := must(t)(w.Rollover.Begin(ctx, "test", api.Change{})); s.CrossSigned {
		t.Error("the new root claims a signature that nobody could make")
	}
	must(t)(w.Rollover.Finish(ctx, "test", api.FinishRollover{}))
	leaf, chain := server(t, w.CA)
	if trusted(leaf, chain, old) == nil || trusted(leaf, chain, w.CA.Root()) != nil {
		t.Error("want trust by the new root alone")
	}
}
