package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/postgres"
)

// settle onboards every SIM once more, and compares what SIM and platform say of it.
func (n *nodes) settle(agent *api.Client, fates []fate) {
	n.t.Helper()
	admin := n.client(n.addresses[0], n.token)
	for i := range fates {
		d := fates[i].device
		if err := persistently(n.t.Context(), func() error { _, err := d.Onboard(n.t.Context(), agent); return err }); err != nil {
			n.t.Fatal(err)
		}
		own, err := d.Credential(n.t.Context())
		if err != nil {
			n.t.Fatalf("SIM %d: %v", i, err)
		}
		active := 0
		for c, err := range admin.Credentials(n.t.Context(), api.CredentialFilter{ICCID: string(d.ICCID())}) {
			switch {
			case err != nil:
				n.t.Fatal(err)
			case c.State == api.Active:
				active++
				if !bytes.Equal(c.Certificate, own.Certificate.Raw) {
					n.t.Errorf("SIM %d holds another credential than the platform believes", i)
				}
			case !c.State.Final():
				n.t.Errorf("SIM %d: credential %s is left half-done: %s", i, c.ID, c.State)
			}
		}
		if active != 1 {
			n.t.Errorf("SIM %d has %d active credentials", i, active)
		}
	}
}

// checkRows plays the feed from its beginning: numbers without a gap, no arrow twice, and in the
// end the state of the rows.
func (n *nodes) checkRows() {
	n.t.Helper()
	rows, err := postgres.Open(n.t.Context(), n.store)
	if err != nil {
		n.t.Fatal(err)
	}
	defer rows.Close()
	err = rows.View(n.t.Context(), func(tx store.Tx) error {
		last := map[string]api.CredentialState{}
		seen := map[string]bool{}
		after := int64(0)
		for {
			events, err := tx.Events(after, 1000)
			if err != nil {
				return err
			}
			for _, e := range events {
				if after++; e.Seq != after {
					n.t.Fatalf("event %d follows event %d", e.Seq, after-1)
				}
				if c := e.Credential; c != nil {
					if arrow := c.ID + string(c.State); seen[arrow] {
						n.t.Errorf("event %d: credential %s becomes %s for the second time", e.Seq, c.ID, c.State)
					} else {
						seen[arrow] = true
					}
					last[c.ID] = c.State
				}
			}
			if len(events) == 0 {
				break
			}
		}
		all, err := tx.ListCredentials(store.CredentialFilter{}, "", 1_000_000)
		if len(all) != len(last) {
			n.t.Errorf("%d credentials, the feed knows of %d", len(all), len(last))
		}
		for _, c := range all {
			if c.State != last[c.ID] {
				n.t.Errorf("credential %s is %s, the feed says %s", c.ID, c.State, last[c.ID])
			}
		}
		entries, auditErr := tx.Audit(0, 1_000_000)
		for i, e := range entries {
			if e.Seq != int64(i+1) {
				n.t.Fatalf("audit entry %d follows entry %d", e.Seq, i)
			}
		}
		return errors.Join(err, auditErr)
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// checkCRLs compares the CRL that each node serves with what was answered.
func (n *nodes) checkCRLs(fates []fate) {
	n.t.Helper()
	want := map[string]bool{}
	for _, f := range fates {
		for _, c := range f.revoked {
			serial, _ := new(big.Int).SetString(c.Serial, 16)
			want[serial.String()] = true
		}
	}
	for i, address := range n.addresses {
		der, err := n.client(address, "").CRL(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			n.t.Fatal(err)
		}
		got := map[string]bool{}
		for _, e := range list.RevokedCertificateEntries {
			got[e.SerialNumber.String()] = true
		}
		missing := 0
		for serial := range want {
			if !got[serial] {
				missing++
			}
		}
		if missing > 0 || len(got) != len(want) {
			n.t.Errorf("node %d: the CRL has %d certificates, want %d, of which %d are missing", i, len(got), len(want), missing)
		}
	}
}

// checkFollower waits until an application server that has followed through all of it knows the last change.
func (n *nodes) checkFollower(m *appserver.Middleware, fates []fate) {
	n.t.Helper()
	for i, f := range fates {
		own, err := f.device.Credential(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		print := sha256.Sum256(own.Certificate.Raw)
		realparts.WaitFor(n.t, fmt.Sprintf("the application server to accept SIM %d", i), func() bool { _, err := m.Lookup(print); return err == nil })
		for _, c := range f.revoked {
			if _, err := m.Lookup(appserver.Fingerprint(c.Fingerprint)); err == nil {
				n.t.Errorf("the application server accepts credential %s of SIM %d, which was revoked", c.ID, i)
			}
		}
	}
}
