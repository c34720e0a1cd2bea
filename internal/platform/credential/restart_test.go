package credential_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/victim"
)

func contains(text string, needle []byte) bool {
	return strings.Contains(text, fmt.Sprintf("%x", needle))
}

func TestMain(m *testing.M) { victim.Main(m, beVictim) }

// beVictim provisions SIMs and revokes them, several at once and without end, and prints the
// certificate's serial number after each answer.
func beVictim(dir string, _ ...string) error {
	ctx := context.Background()
	w, err := fixture.Open(dir)
	if err != nil {
		return err
	}
	iccids, err := w.Import(ctx, "meters", 400)
	if err != nil {
		return err
	}
	work := make(chan string)
	failed := make(chan error)
	var print sync.Mutex
	for range 8 {
		go func() {
			for iccid := range work {
				c, err := w.Provision(ctx, fixture.Session, iccid, 0)
				if err == nil {
					_, err = w.Life.Revoke(ctx, "test", c.ID, api.Change{Reason: api.ReasonKeyCompromise})
				}
				if err != nil {
					failed <- err
					return
				}
				print.Lock()
				fmt.Println(c.ID, c.Serial)
				print.Unlock()
			}
		}()
	}
	for _, iccid := range iccids {
		select {
		case work <- iccid:
		case err := <-failed:
			return err
		}
	}
	return <-failed
}

func TestWhatWasAnsweredRevokedStaysRevokedThroughKill9(t *testing.T) {
	dir := t.TempDir()
	revoked := map[string]string{} // credential → serial number
	for _, line := range victim.KilledAfter(t, dir, 60) {
		id, serial, _ := strings.Cut(line, " ")
		revoked[id] = serial
	}

	w, err := fixture.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Store.Close()
	onFeed := map[string]api.CredentialState{}
	for after := int64(0); after < w.Feed.Head(); {
		events, err := w.Feed.Read(t.Context(), api.FeedPosition{Seq: after}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if after = e.Seq; e.Credential != nil {
				onFeed[e.Credential.ID] = e.Credential.State
			}
		}
	}
	der, err := w.CRL.Complete(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	onList := map[string]bool{}
	for _, e := range list.RevokedCertificateEntries {
		onList[e.SerialNumber.Text(16)] = true
	}
	for id, serial := range revoked {
		c, err := w.Life.Credential(t.Context(), id)
		if err != nil || c.State != api.Revoked || onFeed[id] != api.Revoked || !onList[serial] {
			t.Errorf("credential %s: %s, %v; on the feed %s, on the CRL %v", id, c.State, err, onFeed[id], onList[serial])
		}
		_, err = w.Provision(t.Context(), fixture.Session, c.ICCID, 1)
		fixture.Refused(t, err, api.CodeReenrolment)
	}
}

func BenchmarkProvision(b *testing.B) {
	for _, fleet := range []string{"meters", "locks"} {
		b.Run(fleet, func(b *testing.B) {
			w := fixture.New(b)
			iccids, err := w.Import(b.Context(), fleet, b.N)
			if err != nil {
				b.Fatal(err)
			}
			work := make(chan string)
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				wg.Go(func() {
					for iccid := range work {
						if _, err := w.Provision(b.Context(), fixture.Session, iccid, 0); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for _, iccid := range iccids {
				work <- iccid
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "SIMs/s")
		})
	}
}
