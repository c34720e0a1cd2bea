package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func madeCA(t *testing.T) (*CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if err := Init(dir, Keys{}); err != nil {
		t.Fatal(err)
	}
	return reopened(t, dir), dir
}

func reopened(t *testing.T, dir string) *CA {
	t.Helper()
	c, err := Open(dir, Keys{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

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
func server(t *testing.T, c *CA) (leaf *x509.Certificate, chain []*x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := c.IssueServer([]string{"server.example"}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return leaf, parseAll(t, c.Chain())
}

func trusted(leaf *x509.Certificate, chain []*x509.Certificate, roots ...*x509.Certificate) error {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: poolOf(roots...), Intermediates: poolOf(chain...), DNSName: "server.example"})
	return err
}

func TestARolloverNeverShowsWhatSomebodyDoesNotTrust(t *testing.T) {
	c, dir := madeCA(t)
	old := c.Root()
	oldLeaf, oldChain := server(t, c)
	first := c.OnSIM()

	for range 2 { // a repetition changes nothing
		if err := c.Begin(); err != nil {
			t.Fatal(err)
		}
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

	if err := c.Finish(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*CA{"this": c, "one that was opened anew": reopened(t, dir)} {
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

	if retired, err := c.Retire(time.Now()); retired || err != nil {
		t.Errorf("retired before its time: %v, %v", retired, err)
	}
	if err := c.Begin(); !errors.Is(err, ErrRollover) {
		t.Errorf("a third CA began beside two: %v", err)
	}
	if err := c.Abort(); !errors.Is(err, ErrRollover) {
		t.Errorf("what is finished was aborted: %v", err)
	}
	if retired, err := c.Retire(time.Now().Add(2 * time.Hour)); !retired || err != nil {
		t.Fatal(retired, err)
	}
	if on := c.OnSIM(); on.Places[0] != nil || !on.Places[1].Equal(fresh) {
		t.Error("want the new root alone, where it is")
	}
	if err := c.Begin(); err != nil {
		t.Error(err)
	}
	if on := c.OnSIM(); on.Places[0] == nil || !on.Places[1].Equal(fresh) {
		t.Error("want the third root in the place of the first")
	}
}

func TestAnAbortedRolloverLeavesNoKeys(t *testing.T) {
	c, dir := madeCA(t)
	before := c.Anchors()
	if err := c.Begin(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(c.Anchors(), before) || !bytes.Equal(reopened(t, dir).Anchors(), before) {
		t.Error("the aborted root is still published")
	}
	if keys, err := filepath.Glob(filepath.Join(dir, "*", "*")); err != nil || len(keys) > 0 {
		t.Errorf("left behind: %v, %v", keys, err)
	}
	if err := c.Finish(time.Now()); !errors.Is(err, ErrRollover) {
		t.Errorf("what was aborted was finished: %v", err)
	}
}

func TestABeginningThatWasCutIsBegunAnew(t *testing.T) {
	c, dir := madeCA(t)
	half := filepath.Join(dir, "g2")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, rootKeyFile), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := parseAll(t, reopened(t, dir).Anchors()); len(got) != 1 {
		t.Errorf("%d roots are published of which one was never whole", len(got))
	}
	if err := c.Begin(); err != nil {
		t.Error(err)
	}
}

func TestWithoutTheOldRootsKeyTheNewOneStandsAlone(t *testing.T) {
	c, dir := madeCA(t)
	old := c.Root()
	if err := os.Remove(filepath.Join(dir, rootKeyFile)); err != nil {
		t.Fatal(err)
	}
	if err := c.Begin(); err != nil {
		t.Fatal(err)
	}
	if c.Rollover().Crossed {
		t.Error("the new root claims a signature that nobody could make")
	}
	if err := c.Finish(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	leaf, chain := server(t, c)
	if trusted(leaf, chain, old) == nil || trusted(leaf, chain, c.Root()) != nil {
		t.Error("want trust by the new root alone")
	}
}

func TestASerialNumberTellsWhichCAHasIssued(t *testing.T) {
	for _, number := range []int{1, 2, 3, 255, 256} {
		for range 100 {
			n, err := newSerial(number)
			if err != nil {
				t.Fatal(err)
			}
			if got := issuerOf(n); got != number || n.Sign() <= 0 || len(n.Bytes()) > 20 || len(SerialText(n))%2 != 0 {
				t.Fatalf("CA %d: serial number %x is taken for one of CA %d", number, n, got)
			}
		}
	}
	for _, foreign := range []string{"0x10000000000000000000000000000000000", "0x400000000000000000000000000000000000", "0xffffffffffffffffffffffffffffffffffffffff00000000"} {
		n, _ := new(big.Int).SetString(foreign, 0)
		if got := issuerOf(n); got != 0 {
			t.Errorf("%s is taken for one of CA %d", foreign, got)
		}
	}
}
