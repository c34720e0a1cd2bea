package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

const (
	floodStep  = 100 // credentials that one transaction revokes
	floodAfter = 20  // credentials that are revoked one by one after that
)

// flood revokes many credentials, in transactions as a campaign makes them, and after each commit asks for the
// shard of one that was revoked, which must show it.
func flood(ctx context.Context, count int) (err error) {
	dir, err := os.MkdirTemp("", "simroot-flood-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Mkdir(filepath.Join(dir, "world"), 0o700); err != nil {
		return err
	}
	w, err := fixture.Open(filepath.Join(dir, "world"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Store.Close()) }()
	w.CA.Publish("http://pki.example.org")
	if err := fill(ctx, w.Store, "meters", count+floodAfter); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	why := transition.Cause{Time: now, Actor: "bench"}
	var served []float64
	var revoking time.Duration
	revoke := func(from, to int) (last store.Credential, err error) {
		return last, w.Store.Update(ctx, func(tx store.Tx) error {
			for n := from; n < to; n++ {
				last = stored("meters", n, now)
				if err := transition.Revoke(tx, why, &last, api.ReasonKeyCompromise); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for from := 0; from < count; from += floodStep {
		began := time.Now()
		last, err := revoke(from, min(from+floodStep, count))
		if err != nil {
			return err
		}
		committed := time.Now()
		revoking += committed.Sub(began)
		der, err := w.CRL.Shard(ctx, 1, ca.ShardOf(last.Serial))
		served = append(served, ms(time.Since(committed)))
		if err != nil {
			return err
		}
		if err := shows(der, last.Serial); err != nil {
			return err
		}
	}
	began := time.Now()
	complete, err := crl.New(w.Store, w.CA, nil).Complete(ctx, 1)
	if err != nil {
		return err
	}
	whole := time.Since(began)
	if _, err := w.CRL.Complete(ctx, 1); err != nil {
		return err
	}
	var after []float64
	for n := count; n < count+floodAfter; n++ {
		last, err := revoke(n, n+1)
		if err != nil {
			return err
		}
		began := time.Now()
		der, err := w.CRL.Complete(ctx, 1)
		after = append(after, ms(time.Since(began)))
		if err != nil {
			return err
		}
		if err := shows(der, last.Serial); err != nil {
			return err
		}
	}
	fmt.Printf("| revoking %d credentials, %d in a commit, alone | %.1f s | ≤ 60 s |\n", count, floodStep, revoking.Seconds())
	fmt.Printf("| commit → the shard that shows it, meanwhile | median %.1f ms, slowest %.1f ms | ≤ 1 s |\n", median(served), quantile(served, 1))
	fmt.Printf("| commit of one more → the complete list of them that shows it | median %.1f ms, slowest %.1f ms | ≤ 1 s |\n", median(after), quantile(after, 1))
	fmt.Printf("| the complete list of them, made by a platform that has just started | %.0f ms, %.1f MB | ≤ 1 s |\n", ms(whole), float64(len(complete))/1e6)
	return nil
}

// shows tells whether a certificate stands on a list.
func shows(der []byte, serial string) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	for _, e := range list.RevokedCertificateEntries {
		if ca.SerialText(e.SerialNumber) == serial {
			return nil
		}
	}
	return fmt.Errorf("certificate %s is revoked and not on its shard", serial)
}
