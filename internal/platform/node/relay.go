package node

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// Limits on what nodes pass to each other.
const (
	dialTime = 2 * time.Second
	passTime = 35 * time.Second // a step takes the relay at most 30 s
	maxBody  = 1 << 20
	maxIdle  = 256 // connections to a node that are kept: a new one costs more than the request
)

// relay is a [Node] as its agents see it.
type relay Node

// Open implements [Sessions].
func (r *relay) Open(ctx context.Context, o api.RelayOpen) (api.RelayStep, error) {
	return r.own.Open(ctx, o)
}

// Answer implements [Sessions]. A session whose node does not answer is lost: the agent is told
// to start again, and the walk reads back what the SIM holds.
func (r *relay) Answer(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error) {
	owner, _, named := strings.Cut(session, "-")
	if !named || owner == r.id {
		return r.own.Answer(ctx, session, a)
	}
	n := (*Node)(r)
	to, err := n.peer(ctx, owner)
	if errors.Is(err, store.ErrNotFound) {
		return api.RelayStep{}, lost()
	}
	if err != nil {
		return api.RelayStep{}, err
	}
	step, err := to.pass(ctx, session, a)
	var refusal *api.Error
	if err == nil || errors.As(err, &refusal) || errors.Is(err, errInside) || ctx.Err() != nil {
		return step, err
	}
	r.o.Log.WarnContext(ctx, "the node of a relay session does not answer", "node", owner, "error", err)
	return api.RelayStep{}, lost()
}

func lost() error {
	return refuse.With(api.CodeUnknownSession, http.StatusNotFound,
		"this session is not known here: it has ended, or its node was stopped; start the onboarding again")
}

// peer is another node, as it registered itself when it began: neither its address nor its
// certificate changes as long as its process lives, so it is looked up once.
type peer struct {
	address string
	client  *http.Client
}

// peer finds another node.
func (n *Node) peer(ctx context.Context, id string) (peer, error) {
	n.mu.Lock()
	known, ok := n.peers[id]
	n.mu.Unlock()
	if ok {
		return known, nil
	}
	var row store.Node
	err := n.o.Store.View(ctx, func(tx store.Tx) (err error) {
		row, err = tx.Node(id)
		return err
	})
	if err != nil {
		return peer{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := n.peers[id]; ok { // another request was faster
		return known, nil
	}
	if len(n.peers) >= maxPeers { // of processes that are long gone
		for _, p := range n.peers {
			p.client.CloseIdleConnections()
		}
		clear(n.peers)
	}
	found := peer{row.Address, n.client(row.Fingerprint)}
	n.peers[id] = found
	return found, nil
}

// maxPeers bounds how many nodes are remembered.
const maxPeers = 64

// client speaks to the node with a fingerprint, and to nobody else.
func (n *Node) client(pinned []byte) *http.Client {
	return &http.Client{Timeout: passTime, Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSHandshakeTimeout: dialTime,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     30 * time.Second,
		TLSClientConfig: &tls.Config{
			Certificates:       []tls.Certificate{n.certificate},
			MinVersion:         tls.VersionTLS13,
			InsecureSkipVerify: true, // instead of names and a CA, the certificate itself
			VerifyConnection: func(state tls.ConnectionState) error {
				if subtle.ConstantTimeCompare(fingerprint(state.PeerCertificates[0].Raw), pinned) != 1 {
					return errors.New("node: another process than the registered node answers")
				}
				return nil
			},
		},
	}}
}

// passed is what a node answers another.
type passed struct {
	Step       *api.RelayStep `json:"step,omitempty"`
	Refusal    *api.Error     `json:"refusal,omitempty"`
	RetryAfter time.Duration  `json:"retry_after,omitempty"` // of the refusal
}

// errInside: something went wrong inside the other node, which has logged it. The session may go on.
var errInside = errors.New("node: another node could not carry out a relay step: its log says why")

// pass asks another node.
func (p peer) pass(ctx context.Context, session string, a api.RelayAnswers) (step api.RelayStep, err error) {
	body, err := json.Marshal(a)
	if err != nil {
		return step, err
	}
	u := url.URL{Scheme: "https", Host: p.address, Path: "/" + session}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return step, err
	}
	// A connection that has died meanwhile is replaced: a repetition does no harm.
	request.Header["Idempotency-Key"] = nil
	response, err := p.client.Do(request)
	if err != nil {
		return step, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return step, errInside
	}
	var answer passed
	if err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&answer); err != nil {
		return step, err
	}
	switch {
	case answer.Step != nil:
		return *answer.Step, nil
	case answer.Refusal != nil:
		answer.Refusal.RetryAfter = answer.RetryAfter
		return step, answer.Refusal
	}
	return step, errors.New("node: another node answered nothing")
}

// answer serves another node: only this one's own sessions, so that nothing goes in circles.
func (n *Node) answer(w http.ResponseWriter, r *http.Request) {
	var a api.RelayAnswers
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&a); err != nil || r.Method != http.MethodPost {
		http.Error(w, "want the answers to a step", http.StatusBadRequest)
		return
	}
	step, err := n.own.Answer(r.Context(), strings.TrimPrefix(r.URL.Path, "/"), a)
	var out passed
	var refusal *api.Error
	switch {
	case err == nil:
		out.Step = &step
	case errors.As(err, &refusal):
		out.Refusal, out.RetryAfter = refusal, refusal.RetryAfter
	default:
		n.o.Log.ErrorContext(r.Context(), "a relay session asked for by another node", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) //nolint:errcheck // the other node may be gone
}
