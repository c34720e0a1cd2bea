package appservers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/appservers"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/token"
)

func request(t testing.TB) []byte {
	csr, _ := fixture.Request(t)
	return csr
}

func leaf(t testing.TB, chain string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(chain))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type world struct {
	*fixture.World
	servers *appservers.Servers
}

func newWorld(t testing.TB) *world {
	w := fixture.New(t)
	return &world{w, appservers.New(w.Store, w.CA, w.Now)}
}

func (w *world) invited(t testing.TB, fleets ...string) api.NewAppServer {
	t.Helper()
	made, err := w.servers.Invite(t.Context(), "test", api.Invitation{Name: "broker", Fleets: fleets})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestAnInvitedServerRegistersOnceAndIsKnownByItsCertificate(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	made, seal := w.invited(t, "meters"), make([]byte, api.SealKeySize)
	r := api.Registration{Token: made.Token, CSR: request(t), SealingKey: seal}
	var certificates []*x509.Certificate
	for range 2 { // the answer may have been lost
		done, err := w.servers.Register(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		certificates = append(certificates, leaf(t, done.Chain))
	}
	for _, c := range certificates {
		p, err := w.servers.Authenticate(ctx, c)
		if err != nil || p.ID != made.ID || p.Name != "broker" || p.Role != api.RoleAppServer || len(p.SealingKey) != len(seal) || !p.Sees("meters") || p.Sees("tags") {
			t.Errorf("%+v, %v", p, err)
		}
	}
	_, err := w.servers.Register(ctx, api.Registration{Token: made.Token, CSR: request(t), SealingKey: seal})
	fixture.Refused(t, err, api.CodeTokenUsed)
	other := append([]byte{1}, seal[1:]...)
	_, err = w.servers.Register(ctx, api.Registration{Token: made.Token, CSR: r.CSR, SealingKey: other})
	fixture.Refused(t, err, api.CodeTokenUsed)
}

func TestAOneTimeTokenEnds(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	made := w.invited(t)
	for _, wrong := range []string{"", "simroot_once_", made.Token + "x", made.Token[1:]} {
		_, err := w.servers.Register(ctx, api.Registration{Token: wrong, CSR: request(t)})
		fixture.Refused(t, err, api.CodeUnauthorized)
	}
	w.Pass(24 * time.Hour)
	_, err := w.servers.Register(ctx, api.Registration{Token: made.Token, CSR: request(t)})
	fixture.Refused(t, err, api.CodeUnauthorized)
	if strings.Contains(err.Error(), made.Token) {
		t.Error("the refusal repeats the token")
	}
}

func TestACertificateIsGoodUntilItsEndAndIsRenewedForItsKey(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	done, err := w.servers.Register(ctx, api.Registration{Token: w.invited(t).Token, CSR: request(t)})
	if err != nil {
		t.Fatal(err)
	}
	first := leaf(t, done.Chain)
	w.Pass(appservers.CertificateLifetime * 2 / 3)
	p, err := w.servers.Authenticate(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := w.servers.Renew(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	second := leaf(t, renewed.Chain)
	if !second.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) || !second.NotAfter.After(first.NotAfter) {
		t.Error("the renewed certificate is for another key, or ends no later")
	}
	if _, err := w.servers.Authenticate(ctx, first); err != nil {
		t.Error("the one before must be good until its end:", err)
	}
	w.Pass(first.NotAfter.Sub(w.Now()))
	_, err = w.servers.Authenticate(ctx, first)
	fixture.Refused(t, err, api.CodeUnauthorized)
	if _, err := w.servers.Authenticate(ctx, second); err != nil {
		t.Error(err)
	}
	_, err = w.servers.Renew(ctx, token.Principal{ID: "a token's", Role: api.RoleAppServer})
	fixture.Refused(t, err, api.CodeForbidden)
}

func TestAWithdrawnServerIsRefusedAtOnce(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	made := w.invited(t)
	r := api.Registration{Token: made.Token, CSR: request(t)}
	done, err := w.servers.Register(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.servers.Authenticate(ctx, leaf(t, done.Chain))
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := w.servers.Renew(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.servers.Withdraw(ctx, "test", made.ID); err != nil {
			t.Fatal(err)
		}
	}
	_, err = w.servers.Authenticate(ctx, leaf(t, done.Chain))
	fixture.Refused(t, err, api.CodeUnauthorized)
	_, err = w.servers.Renew(ctx, p)
	fixture.Refused(t, err, api.CodeForbidden)
	_, err = w.servers.Register(ctx, r)
	fixture.Refused(t, err, api.CodeUnauthorized)
	fixture.Refused(t, w.servers.Withdraw(ctx, "test", "none"), api.CodeUnknownServer)
	list, err := w.servers.List(ctx, "", 0)
	if err != nil || len(list.Items) != 0 {
		t.Error(list, err)
	}
	der, err := w.CRL.Complete(ctx, crl.Present)
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{done.Chain, renewed.Chain} {
		serial := leaf(t, given).SerialNumber
		if !slices.ContainsFunc(revoked.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 && e.ReasonCode == 5 }) {
			t.Errorf("certificate %x is not on the list", serial)
		}
	}
}

// A SIM's certificate comes from the same CA, and must open nothing here; nor must one that another CA
// has signed for the identifier of a server.
func TestOtherCertificatesAreRefused(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	made := w.invited(t)
	if _, err := w.servers.Register(ctx, api.Registration{Token: made.Token, CSR: request(t)}); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := w.CA.PrepareAppServer(made.ID, "broker", &key.PublicKey, w.Now(), w.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	another, err := w.CA.Sign(prepared) // as if the CA had been fooled: still not the key of the registration
	if err != nil {
		t.Fatal(err)
	}
	foreign := newWorld(t)
	prepared, err = foreign.CA.PrepareAppServer(made.ID, "broker", &key.PublicKey, w.Now(), w.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	forged, err := foreign.CA.Sign(prepared)
	if err != nil {
		t.Fatal(err)
	}
	server, err := w.CA.IssueServer([]string{"broker.example"}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"another key's": another, "another CA's": forged, "a TLS server's": server} {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.servers.Authenticate(ctx, c); !api.HasCode(err, api.CodeUnauthorized) {
			t.Errorf("%s certificate: %v", name, err)
		}
	}
}

func TestBadInvitationsAndRegistrationsChangeNothing(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	for _, bad := range []api.Invitation{{}, {Name: strings.Repeat("x", 65)}, {Name: "b", Lifetime: -1}, {Name: "b", Lifetime: api.Duration(31 * 24 * time.Hour)}} {
		_, err := w.servers.Invite(ctx, "test", bad)
		fixture.Refused(t, err, api.CodeBadRequest)
	}
	_, err := w.servers.Invite(ctx, "test", api.Invitation{Name: "b", Fleets: []string{"none"}})
	fixture.Refused(t, err, api.CodeUnknownFleet)
	list, err := w.servers.List(ctx, "", 0)
	if err != nil || len(list.Items) != 0 {
		t.Fatal(list, err)
	}
	made := w.invited(t)
	for _, bad := range []api.Registration{{Token: made.Token}, {Token: made.Token, CSR: []byte("x")}, {Token: made.Token, CSR: request(t), SealingKey: []byte("x")}} {
		_, err := w.servers.Register(ctx, bad)
		fixture.Refused(t, err, api.CodeBadRequest)
	}
	if _, err := w.servers.Register(ctx, api.Registration{Token: made.Token, CSR: request(t)}); err != nil {
		t.Error("the token was used up by what was refused:", err)
	}
}
