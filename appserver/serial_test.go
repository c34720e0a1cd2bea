package appserver

import (
	"errors"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

func TestASerialNumberNamesACertificateAlsoAfterARestart(t *testing.T) {
	p := platformtest.New(t)
	dir := t.TempDir()
	m := open(t, p, Options{Dir: dir})
	sim, gone := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	p.SetCredential(gone.Credential, api.Revoked)
	inStep(t, m, p)
	hexadecimal := sim.Certificate.Leaf.SerialNumber.Text(16)
	look := func(m *Middleware) {
		t.Helper()
		for _, form := range []string{hexadecimal, strings.ToUpper(hexadecimal), "00:0" + hexadecimal} {
			if id, err := m.LookupSerial(form); err != nil || id.Credential != sim.Credential {
				t.Errorf("%s: %v, %v", form, id, err)
			}
		}
		if id, err := m.LookupSerial(gone.Certificate.Leaf.SerialNumber.Text(16)); !errors.Is(err, ErrRevoked) || id.ICCID != gone.ICCID {
			t.Errorf("revoked: %v, %v", id, err)
		}
		for _, form := range []string{"", "0", "-1", "xyz", strings.Repeat("1", 1000), "123456789"} {
			if _, err := m.LookupSerial(form); !errors.Is(err, ErrUnknown) {
				t.Errorf("%.20q: %v", form, err)
			}
		}
	}
	look(m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	p.Offline(true)
	look(openUnready(t, p, Options{Dir: dir}))
}

func TestOneSerialNumberOfTwoCAsNamesNeither(t *testing.T) {
	p := platformtest.New(t)
	m := open(t, p, Options{})
	one := p.Provision(t, platformtest.ICCID(1))
	number := one.Certificate.Leaf.SerialNumber
	other := platformtest.NewCA(t)
	var two platformtest.SIM
	for two.Certificate.Leaf == nil || two.Certificate.Leaf.SerialNumber.Cmp(number) < 0 {
		two = p.ProvisionBy(t, other, platformtest.ICCID(2))
	}
	if two.Certificate.Leaf.SerialNumber.Cmp(number) != 0 {
		one = p.Provision(t, platformtest.ICCID(1))
		number = one.Certificate.Leaf.SerialNumber
	}
	if two.Certificate.Leaf.SerialNumber.Cmp(number) != 0 {
		t.Fatalf("%s and %s: this test wants one number", two.Certificate.Leaf.SerialNumber, number)
	}
	inStep(t, m, p)
	if id, err := m.LookupSerial(number.Text(16)); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v, %v", id, err)
	}
}

func TestStandingsTellWhichCredentialsMayComeAndWhichMustGo(t *testing.T) {
	p := platformtest.New(t)
	denied := errors.New("at night")
	m := open(t, p, Options{Policy: func(id Identity) error {
		if id.ICCID == platformtest.ICCID(4) {
			return denied
		}
		return nil
	}})
	for n := range 2 * standingsAtOnce {
		p.Provision(t, platformtest.ICCID(100+n/4))
	}
	old := p.Provision(t, platformtest.ICCID(1))
	p.SetCredential(old.Credential, api.Superseded)
	good := p.Provision(t, platformtest.ICCID(1))
	revoked, suspended, dark := p.Provision(t, platformtest.ICCID(2)), p.Provision(t, platformtest.ICCID(3)), p.Provision(t, platformtest.ICCID(4))
	p.SetCredential(revoked.Credential, api.Revoked)
	p.SetSIM(suspended.ICCID, api.Suspended)
	inStep(t, m, p)
	all := map[string]Standing{}
	for s := range m.Standings() {
		all[s.Credential] = s
	}
	if len(all) != 2*standingsAtOnce+5 {
		t.Errorf("%d credentials", len(all))
	}
	for _, want := range []struct {
		sim          platformtest.SIM
		refused, cut error
	}{
		{good, nil, nil}, {old, ErrSuperseded, nil}, {revoked, ErrRevoked, ErrRevoked}, {suspended, ErrSuspended, ErrSuspended}, {dark, denied, denied},
	} {
		s := all[want.sim.Credential]
		if s.Fingerprint != want.sim.Fingerprint || !errors.Is(s.Refused, want.refused) || !errors.Is(s.Cut, want.cut) {
			t.Errorf("%s: %+v, want %v and %v", want.sim.ICCID, s, want.refused, want.cut)
		}
	}
	if of := m.StandingsOf(platformtest.ICCID(1)); len(of) != 2 {
		t.Errorf("SIM 1 has %d credentials", len(of))
	}
	if of := m.StandingsOf("none"); len(of) != 0 {
		t.Errorf("a stranger has %d credentials", len(of))
	}
}
