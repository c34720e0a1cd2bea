package rollover_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/appservers"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/servers"
	"github.com/simroot/simroot/internal/platform/store"
)

// node is a further node of a world: the same rows, and a copy of the folder of the CA.
type node struct {
	*fixture.World
	keys string
	ca   *ca.CA
	life *credential.Life
	srv  *servers.Servers
	apps *appservers.Servers
}

// beside makes a node over a store, which is the world's own or one that comes before it.
func beside(t *testing.T, w *fixture.World, rows store.Store) *node {
	t.Helper()
	n := &node{World: w, keys: filepath.Join(t.TempDir(), "ca")}
	copyKeys(t, n.keys, filepath.Join(w.Dir, "ca"))
	var err error
	if n.ca, err = ca.Open(t.Context(), w.Store, n.keys, ca.Keys{}); err != nil {
		t.Fatal(err)
	}
	n.life = credential.New(rows, w.Envelope, n.ca, w.Now)
	n.srv, n.apps = servers.New(rows, n.ca, w.Now), appservers.New(rows, n.ca, w.Now)
	return n
}

// copyNext gives the node the keys of the second CA.
func (n *node) copyNext(t *testing.T) {
	t.Helper()
	copyKeys(t, filepath.Join(n.keys, "g2"), filepath.Join(n.Dir, "ca", "g2"))
}

// way is one of those by which the platform issues a certificate.
type way func(t *testing.T, n *node) ([]byte, error)

// keyed is a SIM on its way to a certificate.
func keyed(t *testing.T, w *fixture.World, fleet string) (id string) {
	t.Helper()
	ctx, iccid := t.Context(), w.SIM(t, fleet)
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Registry.Authenticated(ctx, iccid, fixture.Session); err != nil {
		t.Fatal(err)
	}
	c, err := w.Life.Request(ctx, fixture.Session, iccid, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Life.Keyed(ctx, fixture.Session, c.ID, key); err != nil {
		t.Fatal(err)
	}
	return c.ID
}

// ways prepares everything but the certificate itself, which the returned functions have issued.
func ways(t *testing.T, w *fixture.World) map[string]way {
	t.Helper()
	ctx := t.Context()
	fleet, err := w.Registry.CreateFleet(ctx, "test", api.Fleet{Name: "slow", Profile: api.Profile{Lifetime: api.Duration(400 * 24 * time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	id := keyed(t, w, "slow")
	enrolling := w.SIM(t, "slow")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	invited, err := appservers.New(w.Store, w.CA, w.Now).Invite(ctx, "test", api.Invitation{Name: "broker"})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]way{
		"a SIM that is switched on": func(t *testing.T, n *node) ([]byte, error) {
			c, err := n.life.Issue(t.Context(), fixture.Session, id)
			return c.Certificate, err
		},
		"a SIM whose device enrols": func(t *testing.T, n *node) ([]byte, error) {
			c, err := n.life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet, ICCID: enrolling, Key: &key.PublicKey})
			return c.Certificate, err
		},
		"a server": func(t *testing.T, n *node) ([]byte, error) {
			return n.srv.Issue(t.Context(), "test", []string{"server.example"}, &key.PublicKey)
		},
		"an application server": func(t *testing.T, n *node) ([]byte, error) {
			r, err := n.apps.Register(t.Context(), api.Registration{Token: invited.Token, CSR: csr})
			if err != nil {
				return nil, err
			}
			block, _ := pem.Decode([]byte(r.Chain))
			return block.Bytes, nil
		},
	}
}

// meddling is a store in which something happens right before one of the updates.
type meddling struct {
	store.Store
	left int
	do   func()
}

func (m *meddling) Update(ctx context.Context, fn func(store.Tx) error) error {
	if m.left--; m.left == 0 {
		m.do()
	}
	return m.Store.Update(ctx, fn)
}

// A rollover is finished on one node while another is about to store a certificate, whichever way it comes and
// however far it is. Nobody gets one of the old CA any more, which has no certificates beyond the end
// that was computed; the other node has not looked at the line of CAs before.
func TestWhatTheOldCAHasPreparedIsIssuedByTheNewOne(t *testing.T) {
	for name := range ways(t, fixture.New(t)) {
		for updates := 1; ; updates++ {
			w := fixture.New(t)
			issue := ways(t, w)[name]
			must(t)(w.Rollover.Begin(t.Context(), "test", api.Change{}))
			m := &meddling{Store: w.Store, left: updates}
			n := beside(t, w, m)
			var end api.CARollover
			m.do = func() { end = must(t)(w.Rollover.Finish(t.Context(), "test", api.FinishRollover{})) }
			der, err := issue(t, n)
			if err != nil {
				t.Fatalf("%s, a finish before update %d: %v", name, updates, err)
			}
			if m.left > 0 {
				if updates == 1 {
					t.Fatalf("%s: nothing is stored", name)
				}
				break
			}
			leaf, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := leaf.CheckSignatureFrom(w.CA.Issuer()); err != nil {
				t.Errorf("%s, a finish before update %d: it ends at %s, the old CA counts until %s: %v", name, updates, leaf.NotAfter, end.Until, err)
			}
		}
	}
}

func TestWhatWasIssuedUntilTheEndIsCounted(t *testing.T) {
	for name := range ways(t, fixture.New(t)) {
		w := fixture.New(t)
		issue := ways(t, w)[name]
		must(t)(w.Rollover.Begin(t.Context(), "test", api.Change{}))
		der, err := issue(t, beside(t, w, w.Store))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		w.Pass(-2 * time.Hour) // the clock of the node that finishes is behind
		if s := must(t)(w.Rollover.Finish(t.Context(), "test", api.FinishRollover{Force: true})); s.Until.Before(leaf.NotAfter) {
			t.Errorf("%s: it ends at %s, the old CA counts until %s", name, leaf.NotAfter, s.Until)
		}
	}
}

func TestANodeWithoutTheNewKeyIssuesNothingAndSaysWhatToDo(t *testing.T) {
	w, ctx := fixture.New(t), t.Context()
	n := beside(t, w, w.Store)
	id := keyed(t, w, "meters")
	refresh := func() {
		t.Helper()
		if err := n.ca.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
	}
	must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
	refresh()
	if err := n.ca.Check(w.Now()); err != nil {
		t.Errorf("the old CA issues, and its key is here: %v", err)
	}
	says := func() {
		t.Helper()
		if err := n.ca.Lacking(); err == nil || !strings.Contains(err.Error(), "copy the folder "+filepath.Join(n.keys, "g2")) {
			t.Errorf("it says %v", err)
		}
	}
	says()
	must(t)(w.Rollover.Finish(ctx, "test", api.FinishRollover{}))
	for _, refreshed := range []bool{false, true} { // before the node knows of it, and after
		if refreshed {
			refresh()
		}
		_, err := n.life.Issue(ctx, fixture.Session, id)
		fixture.Refused(t, err, api.CodeInternal)
		if strings.Contains(n.ca.Lacking().Error(), "platform:") {
			t.Errorf("it speaks as to the outside: %v", n.ca.Lacking())
		}
	}
	says()
	if n.ca.Check(w.Now()) == nil {
		t.Error("it is ready")
	}
	// Another CA's key in its place is no better.
	if err := ca.Init(filepath.Join(n.keys, "g2"), ca.Keys{}); err != nil {
		t.Fatal(err)
	}
	refresh()
	if n.ca.Check(w.Now()) == nil {
		t.Error("it takes another CA's key")
	}
	if err := os.RemoveAll(filepath.Join(n.keys, "g2")); err != nil {
		t.Fatal(err)
	}
	n.copyNext(t)
	refresh()
	if err := n.ca.Check(w.Now()); err != nil || n.ca.Lacking() != nil {
		t.Errorf("the key is there: %v", err)
	}
	c, err := n.life.Issue(ctx, fixture.Session, id)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err := x509.ParseCertificate(c.Certificate); err != nil || leaf.CheckSignatureFrom(w.CA.Issuer()) != nil {
		t.Errorf("it is not one of the new CA: %v", err)
	}
}

// Whoever takes a step has seen what it is about: what SIMs hold was looked at before.
func TestAStepThatOthersHaveComeBeforeIsRefused(t *testing.T) {
	w, ctx := fixture.New(t), t.Context()
	m := &meddling{Store: w.Store, left: 1}
	late := newRollover(m, w)
	m.do = func() {
		must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
		must(t)(w.Rollover.Abort(ctx, "test", api.Change{}))
	}
	_, err := late.Begin(ctx, "test", api.Change{})
	fixture.Refused(t, err, api.CodeConflict)
	must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
	m.left = 1
	m.do = func() {
		must(t)(w.Rollover.Abort(ctx, "test", api.Change{}))
		must(t)(w.Rollover.Begin(ctx, "test", api.Change{}))
	}
	_, err = late.Finish(ctx, "test", api.FinishRollover{Force: true})
	fixture.Refused(t, err, api.CodeConflict)
	if s := must(t)(w.Rollover.Status(ctx)); s.State != api.RolloverBegun {
		t.Errorf("it is %s", s.State)
	}
}

func TestOfTwoNodesThatBeginAtOnceOneDoes(t *testing.T) {
	w, ctx := fixture.New(t), t.Context()
	m := &meddling{Store: w.Store, left: 1}
	late := newRollover(m, w)
	m.do = func() { must(t)(w.Rollover.Begin(ctx, "test", api.Change{})) }
	if s, err := late.Begin(ctx, "test", api.Change{}); err != nil || s.State != api.RolloverBegun {
		t.Errorf("%+v, %v", s, err)
	}
	if keys, err := filepath.Glob(filepath.Join(w.Dir, "ca", "*", "*.key")); err != nil || len(keys) != 2 {
		t.Errorf("two pairs of keys were made and one is to stay: %v, %v", keys, err)
	}
	must(t)(w.Rollover.Finish(ctx, "test", api.FinishRollover{}))
	server(t, reopened(t, w))
}
