package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/vsim"
)

// write is one that has a name, by which the audit log tells of it.
type write struct {
	action, name string
	do           func(context.Context, *api.Client) (any, error)
}

// writes are one of each kind, each of which can be done once only, or leaves something of its own each time.
func writes(name, iccid string, csr []byte) []write {
	var token api.NewToken
	var server api.NewAppServer
	var mu sync.Mutex // the same is asked of both nodes
	// made notes what an answer is, for the writes that follow.
	made := func(note func()) { mu.Lock(); defer mu.Unlock(); note() }
	profile := api.Profile{Type: api.CertificateType}.WithDefaults()
	return []write{
		{"fleet.created", name, func(ctx context.Context, c *api.Client) (any, error) {
			f, err := c.CreateFleet(ctx, api.Fleet{Name: name, Profile: profile})
			return f, err
		}},
		{"campaign.running", name, func(ctx context.Context, c *api.Client) (any, error) {
			k, err := c.CreateCampaign(ctx, api.CampaignRequest{Fleet: name, Kind: api.RotateAll, Note: name})
			return k, err
		}},
		{"token.create", name, func(ctx context.Context, c *api.Client) (any, error) {
			t, err := c.CreateToken(ctx, api.TokenRequest{Name: name, Role: api.RoleAuditor})
			made(func() { token = t })
			return t, err
		}},
		{"token.withdraw", name, func(ctx context.Context, c *api.Client) (any, error) { return nil, c.WithdrawToken(ctx, token.ID) }},
		{"appserver.invited", name, func(ctx context.Context, c *api.Client) (any, error) {
			s, err := c.InviteAppServer(ctx, api.Invitation{Name: name})
			made(func() { server = s })
			return s, err
		}},
		{"appserver.withdrawn", name, func(ctx context.Context, c *api.Client) (any, error) {
			return nil, c.WithdrawAppServer(ctx, server.ID)
		}},
		{"server.certified", name + ".example", func(ctx context.Context, c *api.Client) (any, error) {
			s, err := c.RequestServerCertificate(ctx, api.ServerRequest{Names: []string{name + ".example"}, CSR: csr})
			return s, err
		}},
		{"transport-key.created", name, func(ctx context.Context, c *api.Client) (any, error) {
			k, err := c.NewBatchKey(ctx, api.BatchKeyRequest{Note: name})
			return k, err
		}},
		{"sim.suspended", name, func(ctx context.Context, c *api.Client) (any, error) {
			s, err := c.SuspendSIM(ctx, iccid, api.Change{Note: name})
			return s, err
		}},
		{"sim.provisioned", name, func(ctx context.Context, c *api.Client) (any, error) {
			s, err := c.ResumeSIM(ctx, iccid, api.Change{Note: name})
			return s, err
		}},
	}
}

// While a node is killed all the time, every write that is sent to both at once is done once, and both give the
// same answer.
func TestAWriteSentToBothNodesIsDoneOnceThoughTheyAreKilled(t *testing.T) {
	n := startNodes(t)
	n.writeToBoth(func(ctx context.Context) int { return n.killInTurns(ctx, 700*time.Millisecond) })
}

// While the server of the database ends as in a crash and starts again, so it is as well, and the nodes go on by themselves.
func TestAWriteSentToBothNodesIsDoneOnceThoughTheDatabaseRestarts(t *testing.T) {
	cluster := realparts.OwnCluster(t)
	n := startNodesOn(t, cluster)
	n.writeToBoth(func(ctx context.Context) (restarts int) {
		for pause := time.NewTicker(700 * time.Millisecond); ; restarts++ {
			select {
			case <-pause.C:
				if err := errors.Join(cluster.Halt(), cluster.Start()); err != nil {
					t.Error(err)
					return restarts
				}
			case <-ctx.Done():
				pause.Stop()
				return restarts
			}
		}
	})
}

// writeToBoth sends each write to both nodes at once under one key, and again to whichever has failed over it, while
// there is trouble, whose times are counted.
func (n *nodes) writeToBoth(trouble func(context.Context) (times int)) {
	t := n.t
	t.Helper()
	admins := [2]*api.Client{n.client(n.addresses[0], n.token), n.client(n.addresses[1], n.token)}
	const workers = 4
	states := n.simsOf(admins[0], workers)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), *soak)
	defer cancel()
	var mu sync.Mutex
	done := map[string]bool{}
	var replays atomic.Int64
	var load sync.WaitGroup
	for w := range workers {
		d, err := device.New(t.Context(), vsim.NewMemory(states[w]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Onboard(t.Context(), n.client(n.addresses[0], "")); err != nil {
			t.Fatal(err)
		}
		load.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				for _, write := range writes(fmt.Sprintf("w%d-%d", w, round), string(d.ICCID()), csr) {
					var answers [2]any
					var both sync.WaitGroup
					named := api.WithIdempotencyKey(t.Context(), write.action+write.name)
					for i, admin := range admins {
						both.Go(func() {
							tries := int64(-1)
							err := persistently(named, func() (err error) {
								tries++
								answers[i], err = write.do(named, admin)
								return err
							})
							if err != nil {
								t.Errorf("%s %s at node %d: %v", write.action, write.name, i, err)
							}
							replays.Add(tries)
						})
					}
					both.Wait()
					if t.Failed() {
						return
					}
					if !reflect.DeepEqual(answers[0], answers[1]) {
						t.Errorf("%s %s: the nodes answer %v and %v", write.action, write.name, answers[0], answers[1])
					}
					mu.Lock()
					done[write.action+" "+write.name] = true
					mu.Unlock()
				}
			}
		})
	}
	troubles := trouble(ctx)
	load.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d writes, %d times of trouble, %d requests sent again", len(done), troubles, replays.Load())
	if troubles < 3 || len(done) < 20 {
		t.Fatal("too little has happened")
	}
	times := map[string]int{}
	for e, err := range admins[0].Audit(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		times[e.Action+" "+e.Subject]++
		times[e.Action+" "+e.Note]++
	}
	for what := range done {
		if times[what] != 1 {
			t.Errorf("%s: done %d times", what, times[what])
		}
	}
	n.checkRows()
}
