package appserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

var errOtherTenant = errors.New("of another tenant")

// tenantNorth is a policy by attribute.
func tenantNorth(id Identity) error {
	if tenant, _ := id.Attributes.Get("tenant"); tenant != "north" {
		return errOtherTenant
	}
	return nil
}

func TestAPolicyByAttributeIsAskedAgainWhenTheAttributeChanges(t *testing.T) {
	p := platformtest.New(t)
	sim := p.Provision(t, platformtest.ICCID(1))
	m := open(t, p, Options{Policy: tenantNorth})
	server, client := serverConfig(t, m, p), clientConfig(p, sim.Certificate, tls.VersionTLS13)
	if _, _, err := connect(t, m, server, client); !errors.Is(err, ErrDenied) || !errors.Is(err, errOtherTenant) {
		t.Errorf("without a tenant: got %v, want the policy's denial", err)
	}
	p.SetAttributes(sim.ICCID, api.Attributes{"tenant": "north", "site": "1"})
	inStep(t, m, p)
	conn, device, err := connect(t, m, server, client)
	if err != nil {
		t.Fatal(err)
	}
	if got := maps.Collect(conn.Identity().Attributes.All()); !maps.Equal(got, map[string]string{"tenant": "north", "site": "1"}) {
		t.Errorf("the identity has the attributes %v", got)
	}
	p.SetAttributes(sim.ICCID, api.Attributes{"tenant": "north", "site": "2"})
	inStep(t, m, p)
	if conn.Cause() != nil {
		t.Fatalf("a change that the policy does not mind cut the connection: %v", conn.Cause())
	}
	p.SetAttributes(sim.ICCID, api.Attributes{"tenant": "south"})
	if _, err := device.Read(make([]byte, 1)); err == nil {
		t.Error("the device heard something")
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, ErrDenied) || !errors.Is(err, errOtherTenant) {
		t.Errorf("got %v, want the policy's denial", err)
	}
}

func TestAttributesSurviveARestartFromEventsAndFromAState(t *testing.T) {
	p := platformtest.New(t)
	told, changed := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	p.SetAttributes(told.ICCID, api.Attributes{"tenant": "north"})
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir}) // the state has one, the log the other
	p.SetAttributes(changed.ICCID, api.Attributes{"tenant": "south", "site": "Zürich"})
	inStep(t, m, p)
	m.Close()
	j, r, damage, err := openJournal(dir)
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	defer j.close()
	for _, c := range []struct {
		sim  platformtest.SIM
		want api.Attributes
	}{{told, api.Attributes{"tenant": "north"}}, {changed, api.Attributes{"tenant": "south", "site": "Zürich"}}} {
		id := r.identify(r.byFingerprint(&c.sim.Fingerprint))
		if id.Attributes != packAttributes(c.want) {
			t.Errorf("SIM %s has %q, want %v", c.sim.ICCID, id.Attributes, c.want)
		}
	}
}

func TestEachSetOfAttributesIsHeldOnceAndForgottenWithItsLastSIM(t *testing.T) {
	r := newReplica()
	set := func(n int, a api.Attributes) {
		r.apply(&entry{ICCID: platformtest.ICCID(n), Fleet: "meters", State: string(api.Provisioned), Attributes: packAttributes(a)})
	}
	for n := range 100 {
		set(n, api.Attributes{"tenant": fmt.Sprint(n % 4)})
	}
	if n := len(r.attributes.number); n != 4 {
		t.Errorf("100 SIMs of 4 tenants hold %d sets", n)
	}
	before := r.freeze()
	for round := range 50 {
		for n := range 100 {
			set(n, api.Attributes{"round": fmt.Sprint(round)})
		}
	}
	if used, made := len(r.attributes.number), len(r.attributes.sets); used != 1 || made > 6 {
		t.Errorf("after 50 changes to one set, %d are in use and %d places were made", used, made)
	}
	for e := range before.entries {
		if _, ok := e.Attributes.Get("tenant"); !ok {
			t.Fatalf("the frozen copy has changed: %+v", e.Attributes)
		}
	}
	for n := range 100 {
		set(n, nil)
	}
	if n := len(r.attributes.number); n != 0 {
		t.Errorf("no SIM has attributes, and %d sets are held", n)
	}
}

func TestAttributesOutOfTheirBoundsAreNotTakenOver(t *testing.T) {
	for _, bad := range []Attributes{
		packAttributes(api.Attributes{"Tenant": "north"}), {packed: "\x01a"}, {packed: "\x01a\x05b"},
		{packed: "\x01b\x01v\x01a\x01v"}, {packed: "\x01a\x01v\x01a\x01w"},
	} {
		e := entry{ICCID: platformtest.ICCID(1), Attributes: bad}
		if e.check() == nil {
			t.Errorf("%q is taken over", bad.packed)
		}
	}
	good := entry{ICCID: platformtest.ICCID(1), Attributes: packAttributes(api.Attributes{"b": "1", "a": "2"})}
	if err := good.check(); err != nil {
		t.Error(err)
	}
}
