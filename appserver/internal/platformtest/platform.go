// Package platformtest is a platform for tests: it speaks as much of the contract of
// package api as a server middleware sees, over TLS, and lets a test decide what happens.
package platformtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
)

// Platform is the platform of one test.
type Platform struct {
	CA     *CA
	Client *api.Client

	server *httptest.Server

	mu                     sync.Mutex
	feed                   string
	events                 []api.Event
	creds                  map[string]*api.Credential
	sims                   map[string]*api.SIM
	sealed                 map[string][]byte
	tamper                 func(seq int64, line []byte) (out []byte, end bool)
	withheld, withheldCRLs bool
	oneByOne               bool
	askedOne, askedMany    int // requests for secrets
	offline                bool
	heartbeat              time.Duration
	now                    func() time.Time
	more                   *CA            // which is trusted too
	by                     map[string]*CA // by credential
	changed                chan struct{}  // closed at every change
	feeds                  int
}

// New starts a platform that ends with the test.
func New(t testing.TB) *Platform {
	t.Helper()
	p := &Platform{
		CA: NewCA(t), feed: "first", heartbeat: api.FeedHeartbeat, now: time.Now,
		creds: make(map[string]*api.Credential), sims: make(map[string]*api.SIM), sealed: make(map[string][]byte), by: make(map[string]*CA),
		changed: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.PathFeed, p.serveFeed)
	mux.HandleFunc("GET "+api.PathTrustAnchors, func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		roots, _ := p.anchors()
		w.Write(roots)
	})
	mux.HandleFunc("GET "+api.PathIssuers, func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, issuers := p.anchors()
		w.Write(issuers)
	})
	mux.HandleFunc("GET "+api.PathCRLs, func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		withheld, cas := p.withheldCRLs, p.cas()
		p.mu.Unlock()
		if withheld {
			panic(http.ErrAbortHandler)
		}
		for _, ca := range cas {
			for _, der := range [][]byte{ca.CRL(), ca.RootCRL} {
				pem.Encode(w, &pem.Block{Type: "X509 CRL", Bytes: der})
			}
		}
	})
	mux.HandleFunc("POST "+api.PathCredentials+"/{id}/secret", p.serveSecret)
	mux.HandleFunc("POST "+api.PathSecrets, p.serveSecrets)
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		offline := p.offline
		p.mu.Unlock()
		if offline {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	p.server.EnableHTTP2 = true
	certificate := p.CA.Server(t, "127.0.0.1")
	p.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are cut on purpose
	p.server.StartTLS()
	client, err := api.NewClient(p.server.URL, api.ClientOptions{Token: "token", RootCAs: p.CA.Roots})
	if err != nil {
		t.Fatal(err)
	}
	p.Client = client
	t.Cleanup(func() {
		client.Close()
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// configure changes the platform under its lock and lets open feeds look again.
func (p *Platform) configure(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Tamper lets a test change each line of a feed, and end the connection after it. Seq is
// the event's number, and 0 for a header or head. Nil ends the tampering.
func (p *Platform) Tamper(fn func(seq int64, line []byte) (out []byte, end bool)) {
	p.configure(func() { p.tamper = fn })
}

// Offline cuts all connections and refuses new ones, or ends that.
func (p *Platform) Offline(offline bool) {
	p.configure(func() { p.offline = offline })
	if offline {
		p.server.CloseClientConnections()
	}
}

// Heartbeat sets how often an idle feed tells its head.
func (p *Platform) Heartbeat(every time.Duration) { p.configure(func() { p.heartbeat = every }) }

// Clock sets the platform's clock, which feeds tell.
func (p *Platform) Clock(now func() time.Time) { p.configure(func() { p.now = now }) }

// Publish adds the certificates of another CA to those of the platform's own, or takes
// them away again with nil.
func (p *Platform) Publish(other *CA) {
	p.configure(func() {
		p.more = other
	})
}

// URL is where the platform serves.
func (p *Platform) URL() string { return p.server.URL }

// Feeds is how many feeds were opened so far.
func (p *Platform) Feeds() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.feeds
}

// Head is the number of the last event.
func (p *Platform) Head() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.events))
}

// Restore puts the platform back to an earlier event, as from a backup: under another feed
// ID, or, if that is empty, the same. Open feeds end.
func (p *Platform) Restore(seq int64, feed string) {
	p.configure(func() {
		p.events = p.events[:seq:seq]
		if feed != "" {
			p.feed = feed
		}
		clear(p.creds)
		clear(p.sims)
		for _, e := range p.events {
			if e.SIM != nil {
				sim := *e.SIM
				p.sims[sim.ICCID] = &sim
			} else {
				c := *e.Credential
				p.creds[c.ID] = &c
			}
		}
	})
	p.server.CloseClientConnections()
}

// append adds an event. The caller holds the lock.
func (p *Platform) append(e api.Event) {
	e.Seq, e.Time, e.Mark = int64(len(p.events))+1, p.now(), rand.Text()
	if e.SIM != nil {
		sim := *e.SIM
		e.SIM = &sim
	} else {
		c := *e.Credential
		e.Credential = &c
	}
	p.events = append(p.events, e)
}

func (p *Platform) serveFeed(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	state := query.Get("state") == "true"
	after, err := strconv.ParseInt(query.Get("after"), 10, 64)
	if err != nil && !state {
		http.Error(w, "after", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.feeds++
	if state {
		after = int64(len(p.events))
	}
	at := api.FeedPosition{ID: p.feed, Seq: after, Mark: p.mark(after)}
	head, anchors := int64(len(p.events)), api.CADigest(p.anchors())
	now := p.now()
	lines := p.state()
	p.mu.Unlock()
	if !state && (query.Get("id") != at.ID || query.Get("mark") != at.Mark || after > head) {
		refuse(w, http.StatusConflict, api.CodeFeedHistory)
		return
	}
	if !p.send(w, 0, api.FeedLine{Header: &api.FeedHeader{FeedPosition: at, Head: head, Time: now, CAs: anchors, State: state}}) {
		return
	}
	if state {
		for _, e := range lines {
			if !p.send(w, 0, api.FeedLine{State: &e}) {
				return
			}
		}
		if !p.beat(w) {
			return
		}
	}
	for {
		p.mu.Lock()
		var events []api.Event
		if int(after) < len(p.events) {
			events = p.events[after:]
		}
		head, changed, heartbeat := int64(len(p.events)), p.changed, p.heartbeat
		p.mu.Unlock()
		after = min(after, head)
		for _, e := range events {
			if !p.send(w, e.Seq, api.FeedLine{Event: &e}) {
				return
			}
			after = e.Seq
		}
		w.(http.Flusher).Flush()
		ctx, cancel := context.WithTimeout(r.Context(), heartbeat)
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
			cancel()
			if r.Context().Err() != nil || !p.beat(w) {
				return
			}
		}
	}
}

// state is what the events so far come to. The caller holds the lock.
func (p *Platform) state() []api.Event {
	var lines []api.Event
	for _, s := range p.sims {
		sim := *s
		lines = append(lines, api.Event{Time: p.now(), SIM: &sim})
	}
	for _, c := range p.creds {
		credential := *c
		credential.Certificate = nil
		lines = append(lines, api.Event{Time: p.now(), Credential: &credential})
	}
	return lines
}

func (p *Platform) mark(seq int64) string {
	if seq < 1 || int(seq) > len(p.events) {
		return ""
	}
	return p.events[seq-1].Mark
}

func (p *Platform) anchors() (roots, issuers []byte) {
	for _, ca := range p.cas() {
		roots, issuers = append(roots, ca.RootPEM...), append(issuers, ca.IssuerPEM...)
	}
	return roots, issuers
}

func (p *Platform) cas() []*CA {
	if p.more == nil {
		return []*CA{p.CA}
	}
	return []*CA{p.CA, p.more}
}

// beat writes a heartbeat.
func (p *Platform) beat(w http.ResponseWriter) bool {
	p.mu.Lock()
	line := api.FeedLine{Heartbeat: &api.Heartbeat{Head: int64(len(p.events)), Time: p.now(), CAs: api.CADigest(p.anchors())}}
	p.mu.Unlock()
	return p.send(w, 0, line)
}

func refuse(w http.ResponseWriter, status int, code api.Code) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Error{Code: code, Title: string(code)})
}

// send writes a line, and tells whether the feed goes on.
func (p *Platform) send(w http.ResponseWriter, seq int64, line api.FeedLine) bool {
	text, err := json.Marshal(line)
	if err != nil {
		return false
	}
	text = append(text, '\n')
	p.mu.Lock()
	tamper := p.tamper
	p.mu.Unlock()
	end := false
	if tamper != nil {
		text, end = tamper(seq, text)
	}
	_, err = w.Write(text)
	if seq == 0 || end {
		w.(http.Flusher).Flush()
	}
	return err == nil && !end
}

// SIM is a SIM with an active certificate.
type SIM struct {
	ICCID       string
	Credential  string
	Certificate tls.Certificate
	Fingerprint [32]byte
}

// ICCID makes the number of a SIM.
func ICCID(n int) string { return fmt.Sprintf("8949%015d", n) }

// Provision gives a SIM a new certificate and makes it active.
func (p *Platform) Provision(t testing.TB, iccid string) SIM {
	t.Helper()
	return p.ProvisionBy(t, p.CA, iccid)
}

// ProvisionBy is Provision with a certificate of another CA.
func (p *Platform) ProvisionBy(t testing.TB, ca *CA, iccid string) SIM {
	t.Helper()
	certificate := ca.Device(t, iccid)
	leaf := certificate.Leaf
	s := SIM{ICCID: iccid, Certificate: certificate, Fingerprint: sha256.Sum256(leaf.Raw)}
	s.Credential = fmt.Sprintf("%s-%s", iccid, leaf.SerialNumber.Text(16))
	p.configure(func() {
		if p.sims[iccid] == nil {
			p.sims[iccid] = &api.SIM{ICCID: iccid, Fleet: "meters", State: api.Provisioned}
			p.append(api.Event{SIM: p.sims[iccid]})
		}
		c := &api.Credential{
			ID: s.Credential, ICCID: iccid, Fleet: "meters", Type: api.CertificateType, State: api.Active,
			Certificate: leaf.Raw, Fingerprint: s.Fingerprint[:], Serial: leaf.SerialNumber.Text(16),
			NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		}
		p.creds[c.ID], p.by[c.ID] = c, ca
		p.append(api.Event{Credential: c})
	})
	return s
}

// PSK gives a SIM a secret, sealed to the given key, with the SIM's proof if there is one.
func (p *Platform) PSK(iccid, id string, sealed []byte, proof *api.Confirmation) {
	p.configure(func() {
		if p.sims[iccid] == nil {
			p.sims[iccid] = &api.SIM{ICCID: iccid, Fleet: "meters", State: api.Provisioned}
			p.append(api.Event{SIM: p.sims[iccid]})
		}
		c := &api.Credential{
			ID: id, ICCID: iccid, Fleet: "meters", Type: api.PSKType, State: api.Active,
			Identity: "psk-" + id, Confirmation: proof, NotAfter: time.Now().Add(time.Hour),
		}
		p.creds[id], p.sealed[id] = c, sealed
		p.append(api.Event{Credential: c})
	})
}

// PSK is a pre-shared key of a SIM.
type PSK struct {
	Credential, Identity string
	Secret               []byte
}

// ProvisionPSK gives a SIM a new secret, sealed to the given key.
func (p *Platform) ProvisionPSK(t testing.TB, iccid string, sealTo []byte) PSK {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	k := PSK{Credential: "cred-" + rand.Text(), Secret: secret}
	sealed, err := api.Seal(sealTo, k.Credential, secret)
	if err != nil {
		t.Fatal(err)
	}
	p.PSK(iccid, k.Credential, sealed, nil)
	k.Identity = "psk-" + k.Credential
	return k
}

// WithholdCRLs has the platform not answer for CRLs, or ends that.
func (p *Platform) WithholdCRLs(withheld bool) { p.configure(func() { p.withheldCRLs = withheld }) }

// SetCredential changes the state of a credential. A revoked one enters the CRL.
func (p *Platform) SetCredential(id string, state api.CredentialState) {
	p.configure(func() {
		c := p.creds[id]
		c.State = state
		if state == api.Revoked && c.Type == api.CertificateType {
			p.by[id].revoke(c.Serial)
		}
		p.append(api.Event{Credential: c})
	})
}

// SetSIM changes the state of a SIM.
func (p *Platform) SetSIM(iccid string, state api.SIMState) {
	p.configure(func() {
		p.sims[iccid].State = state
		p.append(api.Event{SIM: p.sims[iccid]})
	})
}

// SetAttributes gives a SIM attributes in place of those it has.
func (p *Platform) SetAttributes(iccid string, a api.Attributes) {
	p.configure(func() {
		changed := *p.sims[iccid]
		changed.Attributes = a
		p.sims[iccid] = &changed
		p.append(api.Event{SIM: &changed})
	})
}
