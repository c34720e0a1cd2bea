package httpapi

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/est"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/ocsp"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/token"
	"github.com/simroot/simroot/internal/testlog"
)

const (
	knownICCID = "8988211000000000017"
	knownCred  = "c1"
	psk        = "a pre-shared key, never in clear"
)

// fake is every service at once: it knows one fleet, one SIM and one credential.
type fake struct {
	mu         sync.Mutex
	err        error // what every service answers, if set
	events     []api.Event
	changed    chan struct{} // closed and replaced at every event
	actor      string
	imported   int64
	relayed    api.RelayAnswers
	sealingKey []byte
	unwell     error
	withdrawn  bool // all tokens were
}

func newFake() *fake { return &fake{changed: make(chan struct{})} }

func (f *fake) services() Services {
	return Services{Registry: fakeRegistry{f}, Credentials: fakeCredentials{f}, Campaigns: fakeCampaigns{f}, Rollover: fakeRollover{f}, Authority: fakeAuthority{f}, CRL: fakeCRL{f}, OCSP: fakeOCSP{f}, Servers: fakeServers{f},
		Feed: f, Relay: fakeRelay{f}, EST: fakeEST{f}, Tokens: fakeTokens{f}, AppServers: fakeAppServers{f}, Audit: fakeAudit{f}, Answers: fakeAnswers{f},
		KEKs: func(context.Context) (api.KEKStatus, error) {
			return api.KEKStatus{Keys: []api.KEK{{ID: "0102030405060708", Name: "file:kek.key", Current: true, Secrets: 1}}}, f.err
		},
		Health: func(context.Context) error { return f.unwell }}
}

func (f *fake) acted(actor string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.actor = actor
	return f.err
}

// newServer is a server over fakes, with its log.
func newServer(t testing.TB, f *fake) (*Server, *testlog.Log) {
	t.Helper()
	log := testlog.New(t)
	s, err := New(f.services(), slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

type fakeRegistry struct{ *fake }

func (fakeRegistry) TransportKey() []byte { return make([]byte, api.SealKeySize) }

func (f fakeRegistry) NewBatchKey(_ context.Context, actor string, r api.BatchKeyRequest) (api.BatchKey, error) {
	return api.BatchKey{Key: make([]byte, api.SealKeySize), Note: r.Note}, f.acted(actor)
}

func (f fakeRegistry) WithdrawBatchKey(_ context.Context, actor string, _ []byte) error {
	return f.acted(actor)
}

func (f fakeRegistry) BatchKeys(context.Context, string, int) (api.Page[api.BatchKey], error) {
	return api.Page[api.BatchKey]{}, f.err
}

func (f fakeRegistry) CreateFleet(_ context.Context, actor string, fleet api.Fleet) (api.Fleet, error) {
	fleet.Profile = fleet.Profile.WithDefaults()
	return fleet, f.acted(actor)
}

func (f fakeRegistry) Fleet(_ context.Context, name string) (api.Fleet, error) {
	if name != "meters" {
		return api.Fleet{}, refuse.UnknownFleet(name)
	}
	return api.Fleet{Name: name, Profile: api.Profile{}.WithDefaults()}, f.err
}

func (f fakeRegistry) Fleets(context.Context, string, int) (api.Page[api.Fleet], error) {
	return api.Page[api.Fleet]{}, f.err
}

func (f fakeRegistry) ImportWith(_ context.Context, actor, _ string, batch io.Reader, _ api.ImportOptions) (api.ImportResult, error) {
	n, err := io.Copy(io.Discard, batch)
	f.mu.Lock()
	f.imported = n
	f.mu.Unlock()
	return api.ImportResult{Imported: 1}, errors.Join(err, f.acted(actor))
}

func (f fakeRegistry) SIM(_ context.Context, iccid string) (api.SIM, error) {
	if iccid != knownICCID {
		return api.SIM{}, refuse.UnknownSIM(iccid)
	}
	return api.SIM{ICCID: iccid, Fleet: "meters", State: api.Provisioned}, f.err
}

// FleetsOf finds all SIMs where the known one is.
func (f fakeRegistry) FleetsOf(_ context.Context, iccids []string) (map[string]store.SIMFleets, error) {
	fleets := map[string]store.SIMFleets{}
	for _, iccid := range iccids {
		if iccid == knownICCID {
			fleets[iccid] = store.SIMFleets{Present: "meters"}
		}
	}
	return fleets, f.err
}

func (f fakeRegistry) SIMs(_ context.Context, filter registry.Filter, after string, limit int) (api.Page[api.SIM], error) {
	return api.Page[api.SIM]{Items: []api.SIM{{ICCID: knownICCID, Fleet: filter.Fleet, State: filter.State}}, Next: after}, f.err
}

func (f fakeRegistry) change(ctx context.Context, actor, iccid string, state api.SIMState) (api.SIM, error) {
	s, err := f.SIM(ctx, iccid)
	s.State = state
	return s, errors.Join(err, f.acted(actor))
}

func (f fakeRegistry) SetAttributes(ctx context.Context, actor, iccid string, _ api.AttributeChange) (api.SIM, error) {
	return f.change(ctx, actor, iccid, api.Provisioned)
}

func (f fakeRegistry) UpdateFleet(_ context.Context, actor, name string, fleet api.Fleet) (api.Fleet, error) {
	if name != "meters" {
		return api.Fleet{}, refuse.UnknownFleet(name)
	}
	fleet.Name, fleet.Profile = name, fleet.Profile.WithDefaults()
	return fleet, f.acted(actor)
}

func (f fakeRegistry) Move(ctx context.Context, actor, iccid string, m api.Move) (api.SIM, error) {
	s, err := f.change(ctx, actor, iccid, api.Provisioned)
	s.Fleet = m.Fleet
	return s, err
}

func (f fakeRegistry) Replace(ctx context.Context, actor, iccid string, r api.Replacement) (api.SIM, error) {
	s, err := f.change(ctx, actor, iccid, api.Imported)
	s.ICCID, s.Replaces = r.By, iccid
	return s, err
}

func (f fakeRegistry) Suspend(ctx context.Context, actor, iccid string, _ api.Change) (api.SIM, error) {
	return f.change(ctx, actor, iccid, api.Suspended)
}

func (f fakeRegistry) Resume(ctx context.Context, actor, iccid string, _ api.Change) (api.SIM, error) {
	return f.change(ctx, actor, iccid, api.Provisioned)
}

func (f fakeRegistry) Terminate(ctx context.Context, actor, iccid string, _ api.Change) (api.SIM, error) {
	return f.change(ctx, actor, iccid, api.Terminated)
}

func (f fakeRegistry) NewEnrolmentSecret(ctx context.Context, actor, iccid string) (api.EnrolmentSecret, error) {
	_, err := f.SIM(ctx, iccid)
	return api.EnrolmentSecret{ICCID: iccid, Secret: "shown once"}, errors.Join(err, f.acted(actor))
}

// fakeEST enrols whoever gives the password "good".
type fakeEST struct{ *fake }

func (f fakeEST) CACerts(ctx context.Context, fleet string, _ *tls.ConnectionState) ([]byte, error) {
	_, err := fakeRegistry(f).Fleet(ctx, fleet)
	return []byte("certificates in base64"), err
}

func (f fakeEST) CSRAttributes(ctx context.Context, fleet string) ([]byte, error) {
	_, err := fakeRegistry(f).Fleet(ctx, fleet)
	return []byte("attributes in base64"), err
}

func (f fakeEST) Enrol(ctx context.Context, r est.Request) ([]byte, error) {
	if _, err := fakeRegistry(f).Fleet(ctx, r.Fleet); err != nil {
		return nil, err
	}
	if r.Basic && r.Password != "good" {
		return nil, refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, "who are you?")
	}
	return append([]byte("a certificate for "), r.CSR...), f.err
}

func (f fakeEST) Reenrol(ctx context.Context, r est.Request) ([]byte, error) { return f.Enrol(ctx, r) }

func (f fakeEST) ServerKeygen(ctx context.Context, r est.Request) (key, certificate []byte, err error) {
	certificate, err = f.Enrol(ctx, r)
	return []byte("a key in base64"), certificate, err
}

type fakeRollover struct{ *fake }

func (f fakeRollover) Status(context.Context) (api.CARollover, error) { return api.CARollover{}, f.err }

func (f fakeRollover) Begin(_ context.Context, actor string, _ api.Change) (api.CARollover, error) {
	return api.CARollover{}, f.acted(actor)
}

func (f fakeRollover) Finish(_ context.Context, actor string, _ api.FinishRollover) (api.CARollover, error) {
	return api.CARollover{}, f.acted(actor)
}

func (f fakeRollover) Abort(_ context.Context, actor string, _ api.Change) (api.CARollover, error) {
	return api.CARollover{}, f.acted(actor)
}

type fakeCampaigns struct{ *fake }

func (f fakeCampaigns) Create(_ context.Context, actor string, r api.CampaignRequest) (api.Campaign, error) {
	return api.Campaign{ID: "k1", Fleet: r.Fleet, Kind: r.Kind}, f.acted(actor)
}

func (f fakeCampaigns) Campaign(_ context.Context, id string) (api.Campaign, error) {
	if id != "k1" {
		return api.Campaign{}, refuse.UnknownCampaign(id)
	}
	return api.Campaign{ID: id, Fleet: "meters", State: api.CampaignRunning}, f.err
}

func (f fakeCampaigns) List(context.Context, string, string, int) (api.Page[api.Campaign], error) {
	return api.Page[api.Campaign]{}, f.err
}

func (f fakeCampaigns) Results(ctx context.Context, id string, _ api.CampaignSIMState, _ string, _ int) (api.Page[api.CampaignSIM], error) {
	_, err := f.Campaign(ctx, id)
	return api.Page[api.CampaignSIM]{}, err
}

func (f fakeCampaigns) Change(ctx context.Context, actor, id string, _ api.CampaignVerb, _ api.Change) (api.Campaign, error) {
	c, err := f.Campaign(ctx, id)
	return c, errors.Join(err, f.acted(actor))
}

type fakeCredentials struct{ *fake }

func (f fakeCredentials) Credential(_ context.Context, id string) (api.Credential, error) {
	if id != knownCred {
		return api.Credential{}, refuse.UnknownCredential(id)
	}
	return api.Credential{ID: id, ICCID: knownICCID, Fleet: "meters", State: api.Active}, f.err
}

func (f fakeCredentials) Credentials(context.Context, credential.Filter, string, int) (api.Page[api.Credential], error) {
	return api.Page[api.Credential]{}, f.err
}

func (f fakeCredentials) Revoke(ctx context.Context, actor, id string, c api.Change) (api.Credential, error) {
	cred, err := f.Credential(ctx, id)
	cred.State, cred.Reason = api.Revoked, c.Reason
	return cred, errors.Join(err, f.acted(actor))
}

func (f fakeCredentials) RevokeSIM(_ context.Context, actor, iccid string, c api.Change) ([]api.Credential, error) {
	if iccid != knownICCID {
		return nil, refuse.UnknownSIM(iccid)
	}
	return []api.Credential{{ID: knownCred, State: api.Revoked, Reason: c.Reason}}, f.acted(actor)
}

func (f fakeCredentials) Secrets(ctx context.Context, ids []string, shown func(api.Credential) error) ([]credential.Opened, error) {
	all := make([]credential.Opened, len(ids))
	for i, id := range ids {
		c, err := f.Credential(ctx, id)
		if err == nil {
			err = shown(c)
		}
		if err == nil {
			all[i].Secret = []byte(psk)
		}
		all[i].Refusal = err
	}
	return all, f.err
}

type fakeAuthority struct{ *fake }

func (fakeAuthority) RootCRL() []byte { return []byte("the root's CRL") }
func (fakeAuthority) Anchors() []byte { return []byte("anchors in PEM") }
func (fakeAuthority) Chain(leaf []byte) []byte {
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), "issuers in PEM"...)
}

func (fakeAuthority) Issuers() []byte { return []byte("issuers in PEM") }

type fakeServers struct{ *fake }

func (f fakeServers) Issue(_ context.Context, actor string, _ []string, _ crypto.PublicKey) ([]byte, error) {
	return []byte("a leaf in DER"), f.acted(actor)
}

func (f fakeServers) List(context.Context, string, int) (api.Page[api.IssuedServerCertificate], error) {
	return api.Page[api.IssuedServerCertificate]{}, f.err
}

func (f fakeServers) Revoke(_ context.Context, actor, serial string, _ api.Change) (api.IssuedServerCertificate, error) {
	return api.IssuedServerCertificate{Serial: serial}, f.acted(actor)
}

type fakeOCSP struct{ *fake }

func (f fakeOCSP) Answer(_ context.Context, request []byte) (ocsp.Answer, error) {
	now := time.Now()
	return ocsp.Answer{DER: append([]byte("an answer to "), request...), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}, f.err
}

type fakeCRL struct{ *fake }

func (f fakeCRL) All(context.Context) ([]byte, error) { return []byte("lists in PEM"), f.err }
func (f fakeCRL) Complete(context.Context, int) ([]byte, error) {
	return []byte("a list in DER"), f.err
}
func (f fakeCRL) Delta(context.Context, int) ([]byte, error) { return []byte("a delta in DER"), f.err }
func (f fakeCRL) Shard(context.Context, int, int) ([]byte, error) {
	return []byte("a shard in DER"), f.err
}

func (*fake) ID() string { return "history" }

func (f *fake) Head() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.events))
}

func (f *fake) Position(context.Context) (api.FeedPosition, error) {
	n := f.Head()
	p := api.FeedPosition{ID: f.ID(), Seq: n}
	if n > 0 {
		p.Mark = f.events[n-1].Mark
	}
	return p, f.err
}

func (f *fake) Check(_ context.Context, p api.FeedPosition) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.ID != "" && p.ID != "history" || p.Seq > int64(len(f.events)) || p.Mark != "" && p.Mark != f.events[p.Seq-1].Mark {
		return feed.ErrHistory
	}
	return nil
}

func (f *fake) Read(_ context.Context, p api.FeedPosition, limit int) ([]api.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if p.Seq >= int64(len(f.events)) {
		return nil, nil
	}
	events := f.events[p.Seq:]
	return events[:min(limit, len(events))], nil
}

func (f *fake) State(_ context.Context, _ time.Time, yield func([]api.Event) error) error {
	return yield([]api.Event{{SIM: &api.SIM{ICCID: knownICCID}}})
}

func (f *fake) Wait(ctx context.Context, after int64) error {
	for {
		f.mu.Lock()
		changed := f.changed
		ready := int64(len(f.events)) > after
		f.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// happen adds n events to the feed.
func (f *fake) happen(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.events = append(f.events, api.Event{Seq: int64(len(f.events) + 1), Mark: fmt.Sprintf("m%d", len(f.events)+1), Time: time.Unix(0, 0), SIM: &api.SIM{ICCID: knownICCID}})
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

type fakeRelay struct{ *fake }

func (f fakeRelay) Open(_ context.Context, o api.RelayOpen) (api.RelayStep, error) {
	if o.Version != api.RelayVersion {
		return api.RelayStep{}, refuse.BadRequest("another version")
	}
	return api.RelayStep{Session: "s1", Step: 1, Commands: [][]byte{{0x80, 0x50, 0, 0}}}, f.err
}

func (f fakeRelay) Answer(_ context.Context, session string, a api.RelayAnswers) (api.RelayStep, error) {
	if session != "s1" {
		return api.RelayStep{}, refuse.With(api.CodeUnknownSession, http.StatusNotFound, "start again")
	}
	f.mu.Lock()
	f.relayed = a
	f.mu.Unlock()
	return api.RelayStep{Session: session, Step: a.Step + 1, Result: &api.RelayResult{}}, f.err
}

// fakeTokens knows a token for each role, whose secret is the role's name; and role@fleet, restricted
// to that fleet.
type fakeTokens struct{ *fake }

func (f fakeTokens) Authenticate(_ context.Context, secret string) (token.Principal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.withdrawn {
		return token.Principal{}, refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, "this token was withdrawn")
	}
	secret, fleet, restricted := strings.Cut(secret, "@")
	switch role := api.Role(secret); role {
	case api.RoleAdmin, api.RoleOperator, api.RoleAuditor, api.RoleAppServer:
		p := token.Principal{ID: "t-" + secret, Name: "the " + secret, Role: role}
		if restricted {
			p.Fleets = []string{fleet}
		}
		if role == api.RoleAppServer {
			p.SealingKey = f.sealingKey
		}
		return p, nil
	case "expired":
		return token.Principal{}, refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, "this token expired yesterday")
	}
	return token.Principal{}, refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, "this token is not known")
}

func (f fakeTokens) Create(_ context.Context, actor string, r api.TokenRequest) (api.NewToken, error) {
	return api.NewToken{Token: api.Token{ID: "t2", Name: r.Name, Role: r.Role}, Secret: "shown once"}, f.acted(actor)
}

func (f fakeTokens) List(context.Context, string, int) (api.Page[api.Token], error) {
	return api.Page[api.Token]{}, f.err
}

func (f fakeTokens) Withdraw(_ context.Context, actor, id string) error { return f.acted(actor) }

// fakeAppServers knows the one-time token "once".
type fakeAppServers struct{ *fake }

func (f fakeAppServers) Authenticate(context.Context, *x509.Certificate) (token.Principal, error) {
	return token.Principal{ID: "s1", Name: "broker", Role: api.RoleAppServer, Fleets: []string{"meters"}}, f.err
}

func (f fakeAppServers) Invite(_ context.Context, actor string, i api.Invitation) (api.NewAppServer, error) {
	return api.NewAppServer{AppServer: api.AppServer{ID: "s1", Name: i.Name}, Token: "once"}, f.acted(actor)
}

func (f fakeAppServers) Register(_ context.Context, r api.Registration) (api.Registered, error) {
	if r.Token != "once" {
		return api.Registered{}, refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, "this token is not known")
	}
	return api.Registered{Chain: "PEM"}, f.err
}

func (f fakeAppServers) Renew(context.Context, token.Principal) (api.Registered, error) {
	return api.Registered{Chain: "PEM"}, f.err
}

func (f fakeAppServers) List(context.Context, string, int) (api.Page[api.AppServer], error) {
	return api.Page[api.AppServer]{}, f.err
}

func (f fakeAppServers) Withdraw(_ context.Context, actor, id string) error { return f.acted(actor) }

// fakeAnswers keeps nothing.
type fakeAnswers struct{ *fake }

func (fakeAnswers) Once(ctx context.Context, _, _ string, _ []byte, answer func(context.Context) ([]byte, error)) ([]byte, bool, error) {
	text, err := answer(ctx)
	return text, false, err
}

type fakeAudit struct{ *fake }

func (f fakeAudit) Head(context.Context) (api.AuditHead, error) { return api.AuditHead{}, f.err }

func (f fakeAudit) Record(context.Context, ...api.AuditEntry) error { return f.err }

func (f fakeAudit) List(context.Context, string, int) (api.Page[api.AuditEntry], error) {
	return api.Page[api.AuditEntry]{}, f.err
}
