package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
	"github.com/simroot/simroot/internal/rig"
)

// fillStep is how many SIMs are written in one transaction.
const fillStep = 2000

// withStore stops a rig's platform, works on what it has stored, and starts it again.
func withStore(ctx context.Context, r *rig.Rig, work func(store.Store) error) error {
	if err := r.Stop(); err != nil {
		return err
	}
	s, err := sqlite.Open(ctx, filepath.Join(r.Dir, "platform.db"))
	if err != nil {
		return err
	}
	if err := errors.Join(work(s), s.Close()); err != nil {
		return err
	}
	return r.Start()
}

// stored is the n-th made-up credential: an active certificate of the size of a real one, under
// an ID that sorts by time as a real one does.
func stored(fleet string, n int, now time.Time) store.Credential {
	print := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	serial := new(big.Int).SetBytes(print[:16])
	return store.Credential{
		Credential: api.Credential{
			ID: fmt.Sprintf("%012x%020x", 0x0198_0000_0000, n), ICCID: iccid(n, fleet), Fleet: fleet, Type: api.CertificateType, State: api.Active,
			Certificate: make([]byte, 450), Fingerprint: print[:], Serial: serial.Text(16),
			NotBefore: now, NotAfter: now.Add(90 * 24 * time.Hour).Truncate(time.Second), Created: now, Updated: now,
		},
		PublicKey: make([]byte, 91),
	}
}

// fill stores SIMs that each have an active certificate, as if they had been onboarded. Of the
// events only the last one is stored: it is the state that is measured.
func fill(ctx context.Context, s store.Store, fleet string, count int) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	keys := make([]byte, 160)
	rand.Read(keys) // never fails (crypto/rand)
	for from := 0; from < count; from += fillStep {
		err := s.Update(ctx, func(tx store.Tx) error {
			for n := from; n < min(from+fillStep, count); n++ {
				sim := api.SIM{ICCID: iccid(n, fleet), Fleet: fleet, State: api.Provisioned, Created: now, Updated: now, LastSeen: now}
				c := stored(fleet, n, now)
				if err := errors.Join(
					tx.InsertSIM(store.SIM{SIM: sim, Domain: []byte{0xA0}, Keys: keys}), tx.InsertCredential(c)); err != nil {
					return err
				}
				if n == count-1 {
					return feed.Credential(tx, now, c.Credential)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("fill the store: %w", err)
		}
	}
	return nil
}

// revokeStored revokes the first credentials that fill has made.
func revokeStored(ctx context.Context, s store.Store, fleet string, count int) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	for from := 0; from < count; from += fillStep {
		err := s.Update(ctx, func(tx store.Tx) error {
			for n := from; n < min(from+fillStep, count); n++ {
				c := stored(fleet, n, now)
				c.State, c.RevokedFrom, c.Reason = api.Revoked, api.Active, api.ReasonUnspecified
				if err := errors.Join(tx.UpdateCredential(c), feed.Credential(tx, now, c.Credential)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("revoke in the store: %w", err)
		}
	}
	return nil
}
