package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/postgres"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

// soak is how long the nodes are killed for: a soak test takes hours.
//
//	go test ./internal/e2e -run KilledEveryFewSeconds -soak 2h -timeout 3h
var soak = flag.Duration("soak", 12*time.Second, "how long nodes of the platform are killed for")

// nodes are two processes that serve one platform.
type nodes struct {
	t         *testing.T
	store     string // connection string
	dirs      [2]string
	addresses [2]string
	admins    [2]string // where each tells whether it is ready
	processes [2]*realparts.Process
	token     string
}

// startNodes initialises a platform on PostgreSQL and serves it from two nodes.
func startNodes(t *testing.T) *nodes { return startNodesOn(t, realparts.SharedCluster(t)) }

// startNodesOn is startNodes for who does something to the database's server.
func startNodesOn(t *testing.T, cluster *realparts.Cluster) *nodes {
	n := &nodes{t: t, store: cluster.Database(t)}
	n.dirs = [2]string{filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")}
	n.addresses = [2]string{"127.0.0.1:0", "127.0.0.1:0"}
	n.start(0)
	n.token = n.processes[0].WaitLog(`shown this once: (\S+)`)[1]
	if err := os.CopyFS(n.dirs[1], os.DirFS(n.dirs[0])); err != nil {
		t.Fatal(err)
	}
	realparts.Run(t, "chmod", "-R", "go=", n.dirs[1])
	n.start(1)
	return n
}

// start starts a node, at the address where it was before.
func (n *nodes) start(i int) {
	n.t.Helper()
	cmd := exec.Command(realparts.Binary(n.t, "simroot"), "platform", "serve", "--data", n.dirs[i], "--listen", n.addresses[i], "--node", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "SIMROOT_STORE="+n.store)
	n.processes[i] = realparts.StartCmd(n.t, cmd)
	n.admins[i] = n.processes[i].WaitLog(`readiness on http://(\S+)`)[1]
	address := n.processes[i].WaitLog(`Serving on https://(\S+)`)[1]
	if n.addresses[i] != address {
		n.addresses[i] = address
	}
}

// kill ends a node without notice.
func (n *nodes) kill(i int) {
	n.processes[i].Signal(syscall.SIGKILL)
	n.processes[i].Wait()
}

// killInTurns kills one node after the other, and starts it again, until ctx ends.
func (n *nodes) killInTurns(ctx context.Context, every time.Duration) (kills int) {
	for pause := time.NewTicker(every); ; kills++ {
		select {
		case <-pause.C:
			n.kill(kills % 2)
			n.start(kills % 2)
		case <-ctx.Done():
			pause.Stop()
			return kills
		}
	}
}

// client speaks to the platform at an address.
func (n *nodes) client(address, token string) *api.Client {
	n.t.Helper()
	roots, err := api.LoadRoots(filepath.Join(n.dirs[0], "ca.pem"))
	if err != nil {
		n.t.Fatal(err)
	}
	c, err := api.NewClient("https://"+address, api.ClientOptions{Token: token, RootCAs: roots})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(c.Close)
	return c
}

// alternating sends each request of an agent to another node than the one before.
type alternating struct {
	clients [2]*api.Client
	turn    int
}

func (a *alternating) next() *api.Client {
	a.turn++
	return a.clients[a.turn%2]
}

func (a *alternating) OpenRelay(ctx context.Context, o api.RelayOpen) (api.RelayStep, error) {
	return a.next().OpenRelay(ctx, o)
}

func (a *alternating) AnswerRelay(ctx context.Context, session string, answers api.RelayAnswers) (api.RelayStep, error) {
	return a.next().AnswerRelay(ctx, session, answers)
}

// simsOf makes virtual SIMs that the platform knows, as fleet "meters".
func (n *nodes) simsOf(admin *api.Client, count int) []image.State {
	n.t.Helper()
	r := &rig.Rig{Dir: n.dirs[0], Admin: admin}
	if err := r.Fleet(n.t.Context(), "meters", api.Profile{AllowReenrolment: true}); err != nil {
		n.t.Fatal(err)
	}
	iccids := make([]string, count)
	for i := range iccids {
		iccids[i] = fmt.Sprintf("898821177%011d", i)
	}
	states, err := r.SIMs(n.t.Context(), "meters", "common", iccids...)
	if err != nil {
		n.t.Fatal(err)
	}
	return states
}

// With a round-robin in front, an agent's session is in the wrong node half of the time. The
// agent sees nothing of it; and when the session's node dies it is told to start again, and succeeds.
func TestARelaySessionIsReachedThroughEitherNode(t *testing.T) {
	n := startNodes(t)
	both := [2]*api.Client{n.client(n.addresses[0], ""), n.client(n.addresses[1], "")}
	states := n.simsOf(n.client(n.addresses[0], n.token), 3)
	for i, s := range states[:2] {
		d, err := device.New(t.Context(), vsim.NewMemory(s))
		if err != nil {
			t.Fatal(err)
		}
		done, err := d.Onboard(t.Context(), &alternating{clients: both, turn: i})
		if err != nil || !done.Changed || done.Steps < 4 {
			t.Errorf("in turns, beginning with node %d: %+v, %v", 1-i%2, done, err)
		}
	}
	// The node that holds the session dies in the middle.
	d, err := device.New(t.Context(), vsim.NewMemory(states[2]))
	if err != nil {
		t.Fatal(err)
	}
	split := &dying{open: both[0], answer: both[1], kill: func() { n.kill(0) }}
	if _, err := d.Onboard(t.Context(), split); !api.HasCode(err, api.CodeUnknownSession) {
		t.Errorf("the session's node was killed: got %v, want %s", err, api.CodeUnknownSession)
	}
	if done, err := d.Onboard(t.Context(), both[1]); err != nil || !done.Changed {
		t.Errorf("again, at the node that lives: %+v, %v", done, err)
	}
}

// dying opens a session at one node, which is killed after two answers, and goes on at another.
type dying struct {
	open, answer *api.Client
	kill         func()
	answers      int
}

func (d *dying) OpenRelay(ctx context.Context, o api.RelayOpen) (api.RelayStep, error) {
	return d.open.OpenRelay(ctx, o)
}

func (d *dying) AnswerRelay(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error) {
	if d.answers++; d.answers == 3 {
		d.kill()
	}
	return d.answer.AnswerRelay(ctx, session, a)
}

// The node-to-node port talks to registered nodes only.
func TestAStrangerIsNotLetInAmongNodes(t *testing.T) {
	n := startNodes(t)
	conn, err := pgx.Connect(t.Context(), n.store)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var address string
	var own []byte
	if err := conn.QueryRow(t.Context(), "SELECT address, fingerprint FROM nodes LIMIT 1").Scan(&address, &own); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (int, error) {
		config := &tls.Config{
			Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
			InsecureSkipVerify: true,
			VerifyConnection: func(state tls.ConnectionState) error {
				if print := sha256.Sum256(state.PeerCertificates[0].Raw); !bytes.Equal(print[:], own) {
					return errors.New("another certificate than the registered one")
				}
				return nil
			},
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		defer client.CloseIdleConnections()
		response, err := client.Post("https://"+address+"/none", "application/json", strings.NewReader("{}"))
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	if status, err := ask(); err == nil {
		t.Errorf("a stranger was answered with %d", status)
	}
	// The same, as a node: it is the registration that counts.
	print := sha256.Sum256(der)
	if _, err := conn.Exec(t.Context(), "INSERT INTO nodes VALUES ('stranger', '127.0.0.1:1', $1, 0)", print[:]); err != nil {
		t.Fatal(err)
	}
	if status, err := ask(); err != nil || status != http.StatusOK {
		t.Errorf("a registered node was answered with %d, %v", status, err)
	}
}

// Keys that meet the rows of another platform would open none of them.
func TestADatabaseHoldsOnePlatform(t *testing.T) {
	n := startNodes(t)
	serve := func(store string, dir string) string {
		t.Helper()
		cmd := exec.Command(realparts.Binary(t, "simroot"), "platform", "serve", "--data", dir, "--listen", "127.0.0.1:0")
		cmd.Env = append(os.Environ(), "SIMROOT_STORE="+store)
		p := realparts.StartCmd(t, cmd)
		if code := p.Wait(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		return p.Output()
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	if said := serve(n.store, fresh); !strings.Contains(said, "holds a platform already") {
		t.Errorf("a second platform on the same database: %s", said)
	}
	if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("and left something: %v", err)
	}
	if said := serve(realparts.SharedCluster(t).Database(t), n.dirs[1]); !strings.Contains(said, "another platform, or none") {
		t.Errorf("the folder of another database: %s", said)
	}
}

// A dump of a busy database is brought back by PostgreSQL's own means, and made known as the
// past by ours: the feed becomes another, and the platform serves.
func TestAPostgreSQLDumpIsBroughtBack(t *testing.T) {
	n := startNodes(t)
	cluster := realparts.SharedCluster(t)
	admin := n.client(n.addresses[0], n.token)
	states := n.simsOf(admin, 2)
	onboard := func(i int, platform *api.Client) api.Credential {
		t.Helper()
		d, err := device.New(t.Context(), vsim.NewMemory(states[i]))
		if err != nil {
			t.Fatal(err)
		}
		done, err := d.Onboard(t.Context(), platform)
		if err != nil {
			t.Fatal(err)
		}
		return done.Credential
	}
	before := onboard(0, n.client(n.addresses[1], ""))
	dump := filepath.Join(t.TempDir(), "dump")
	realparts.Run(t, cluster.Program("pg_dump"), "--format=custom", "--file="+dump, n.store)
	gone := onboard(1, n.client(n.addresses[1], ""))
	history := func() string {
		t.Helper()
		rows, err := postgres.Open(t.Context(), n.store)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var id string
		if err := rows.View(t.Context(), func(tx store.Tx) (err error) { id, err = tx.Setting("feed"); return err }); err != nil {
			t.Fatal(err)
		}
		return id
	}
	was := history()
	for _, p := range n.processes {
		p.Stop()
	}
	realparts.Run(t, cluster.Program("pg_restore"), "--clean", "--if-exists", "--dbname="+n.store, dump)
	realparts.Run(t, realparts.Binary(t, "simroot"), "platform", "restore", "--data", n.dirs[1], "--store", n.store)
	if history() == was {
		t.Error("the feed has kept its identity")
	}
	n.start(1)
	admin = n.client(n.addresses[1], n.token)
	if c, err := admin.Credential(t.Context(), before.ID); err != nil || c.State != api.Active {
		t.Errorf("a credential from before the dump: %+v, %v", c, err)
	}
	if _, err := admin.Credential(t.Context(), gone.ID); !api.HasCode(err, api.CodeUnknownCred) {
		t.Errorf("a credential from after the dump: %v", err)
	}
}

// balancer passes connections to the nodes in turn, and to the other one if a node is down.
type balancer struct {
	net.Listener
	nodes *nodes
	ctx   context.Context
	turn  atomic.Int64
	open  sync.WaitGroup
}

func startBalancer(t *testing.T, n *nodes) *balancer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{Listener: l, nodes: n, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		l.Close()
		b.open.Wait()
	})
	b.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.open.Go(func() { b.pass(c) })
		}
	})
	return b
}

func (b *balancer) pass(c net.Conn) {
	defer c.Close()
	first := b.turn.Add(1)
	for i := range int64(2) {
		to, err := net.Dial("tcp", b.nodes.addresses[(first+i)%2])
		if err != nil {
			continue
		}
		defer to.Close()
		defer context.AfterFunc(b.ctx, func() { c.Close(); to.Close() })()
		done := make(chan struct{})
		go func() {
			io.Copy(to, c) //nolint:errcheck // the ends will notice
			to.Close()
			close(done)
		}()
		io.Copy(c, to) //nolint:errcheck // as above
		c.Close()
		<-done
		return
	}
}

// persistently does something until it succeeds; while nodes die, much fails once.
func persistently(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(realparts.Patience)
	for {
		err := do()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		var refusal *api.Error
		if errors.As(err, &refusal) && refusal.Status < 500 && refusal.Code != api.CodeInProgress && refusal.Code != api.CodeUnknownSession && refusal.Code != api.CodeSessionReplaced {
			return err
		}
	}
}

// fate is what the test has seen happen to a SIM.
type fate struct {
	device  *device.Device
	revoked []api.Credential
}

func TestNothingIsLostOrDoubledWhileNodesAreKilledEveryFewSeconds(t *testing.T) {
	n := startNodes(t)
	balancer := startBalancer(t, n)
	front := balancer.Addr().String()
	admin, agent := n.client(front, n.token), n.client(front, "")
	const sims, workers = 64, 8
	states := n.simsOf(admin, sims)
	follower := &rig.Rig{Dir: n.dirs[0], URL: "https://" + front, Admin: admin}
	middleware, err := follower.Middleware(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer middleware.Close()

	// Each worker onboards its SIMs again and again; each second time it has the credential
	// revoked first, so that there is a new one.
	ctx, cancel := context.WithTimeout(t.Context(), *soak)
	defer cancel()
	fates := make([]fate, sims)
	for i := range fates {
		if fates[i].device, err = device.New(t.Context(), vsim.NewMemory(states[i])); err != nil {
			t.Fatal(err)
		}
	}
	var onboarded atomic.Int64
	var load sync.WaitGroup
	for w := range workers {
		load.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				for i := w; i < sims && ctx.Err() == nil; i += workers {
					f := &fates[i]
					d := f.device
					var done device.Onboarding
					err := persistently(t.Context(), func() (err error) {
						done, err = d.Onboard(t.Context(), agent)
						return err
					})
					if err != nil {
						t.Errorf("SIM %d: %v", i, err)
						return
					}
					onboarded.Add(1)
					if round%2 == 0 {
						continue
					}
					c := done.Credential
					err = persistently(t.Context(), func() error {
						_, err := admin.RevokeCredential(t.Context(), c.ID, api.Change{Reason: api.ReasonKeyCompromise})
						return err
					})
					if err != nil {
						t.Errorf("revoke credential %s: %v", c.ID, err)
						return
					}
					f.revoked = append(f.revoked, c)
				}
			}
		})
	}
	kills := n.killInTurns(ctx, 1500*time.Millisecond)
	load.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d onboardings, %d kills", onboarded.Load(), kills)
	if kills < 3 || onboarded.Load() < sims {
		t.Fatalf("too little has happened: %d onboardings, %d kills", onboarded.Load(), kills)
	}
	n.settle(agent, fates)
	n.checkRows()
	n.checkCRLs(fates)
	n.checkFollower(middleware, fates)
}
