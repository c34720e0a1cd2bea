// Package node lets several processes serve one platform. They share the database and, but
// for one thing, need nothing of each other: a relay session lives in the node that opened it,
// and its agent may come to another one next time, which passes the request on.
//
// A node registers itself in the database, with the address at which other nodes reach it and the
// fingerprint of a TLS certificate that it made when it started. Nodes know each other by these, in
// both directions: who may write the database is a node. A node's name is new in each
// process, and begins the names of its sessions.
//
// What nodes pass on to each other is what anyone could ask of either; it carries no
// authority of its own.
package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// Sessions are a node's own relay sessions.
type Sessions interface {
	Open(ctx context.Context, o api.RelayOpen) (api.RelayStep, error)
	Answer(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error)
}

// Times of the registration. They are generous, as clocks of nodes differ: a node that is
// registered and gone costs a session that is lost anyway one attempt to reach it.
const (
	beat    = 15 * time.Second
	forgets = 10 * time.Minute // those who have not been seen
)

// Options are what a [Node] works with.
type Options struct {
	Store store.Store
	Clock func() time.Time
	Log   *slog.Logger
}

// Node is this process among the others. It is safe for concurrent use.
type Node struct {
	o           Options
	id          string
	certificate tls.Certificate
	fingerprint []byte
	own         Sessions // set before it serves

	mu    sync.Mutex
	peers map[string]peer // by the node's ID
}

// New makes a node, which nobody knows until it serves.
func New(o Options) (*Node, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	var id [8]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	return &Node{
		o: o, id: hex.EncodeToString(id[:]), certificate: certificate, fingerprint: fingerprint(certificate.Certificate[0]),
		peers: map[string]peer{},
	}, nil
}

// ID is the node's name, a few hexadecimal digits.
func (n *Node) ID() string { return n.id }

// Relay is the node's own sessions and, through their nodes, those of all others.
func (n *Node) Relay(own Sessions) Sessions {
	n.own = own
	return (*relay)(n)
}

// Serve makes the node known, and answers other nodes on l until ctx ends; then it is forgotten.
func (n *Node) Serve(ctx context.Context, l net.Listener) error {
	if err := n.register(ctx, l.Addr().String()); err != nil {
		l.Close()
		return fmt.Errorf("register this node: %w", err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(n.answer),
		TLSConfig:         n.tlsConfig(),
		ReadHeaderTimeout: dialTime,
		ReadTimeout:       passTime,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    4 << 10,
		ErrorLog:          slog.NewLogLogger(n.o.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(l, "", "") }()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := n.register(ctx, l.Addr().String()); err != nil && ctx.Err() == nil {
				n.o.Log.ErrorContext(ctx, "tell other nodes that this one is alive", "error", err)
			}
		case err := <-served:
			return fmt.Errorf("serve other nodes: %w", err)
		case <-ctx.Done():
			return n.leave(server, served)
		}
	}
}

// leave lets requests under way finish, and has the node forgotten.
func (n *Node) leave(server *http.Server, served <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), passTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
	}
	<-served
	n.mu.Lock()
	for _, p := range n.peers {
		p.client.CloseIdleConnections()
	}
	n.mu.Unlock()
	err := n.o.Store.Update(ctx, func(tx store.Tx) error { return tx.DeleteNode(n.id) })
	if err != nil {
		n.o.Log.ErrorContext(ctx, "take this node off the list", "error", err)
	}
	return nil
}

// register says that this node is there, and forgets those that have not been for long.
func (n *Node) register(ctx context.Context, address string) error {
	now := n.o.Clock()
	return n.o.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.DeleteNodes(now.Add(-forgets)); err != nil {
			return err
		}
		return tx.PutNode(store.Node{ID: n.id, Address: address, Fingerprint: n.fingerprint, Seen: now})
	})
}

// tlsConfig is for the side that answers: it lets registered nodes in.
func (n *Node) tlsConfig() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{n.certificate},
		MinVersion:   tls.VersionTLS13,
		ClientAuth:   tls.RequireAnyClientCert, // no CA: see VerifyConnection
		VerifyConnection: func(state tls.ConnectionState) error {
			known := false
			err := n.o.Store.View(context.Background(), func(tx store.Tx) (err error) {
				known, err = tx.HasNode(fingerprint(state.PeerCertificates[0].Raw))
				return err
			})
			if err == nil && !known {
				err = errors.New("node: the caller is not registered as a node of this platform")
			}
			return err
		},
	}
}

func fingerprint(der []byte) []byte {
	sum := sha256.Sum256(der)
	return sum[:]
}

// selfSigned makes a certificate that is good for as long as the process may live.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
