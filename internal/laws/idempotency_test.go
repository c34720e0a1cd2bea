package laws

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/vsim"
)

// keyed is a context under which a write is named, and does not wait for ever.
func keyed(t testing.TB, key string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return api.WithIdempotencyKey(ctx, key)
}

// Every write that is repeated under its key is answered as the first time, does nothing again, and
// leaves nothing to read in the database, also when the platform was restarted in between.
func TestARepeatedWriteIsDoneOnce(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	w.fleet("other", api.Profile{})
	w.fleet("locks", api.Profile{Type: api.PSKType})
	states := w.sims("meters", "common", "89882119900000000017", "89882119900000000025", "89882119900000000033")
	if _, err := w.onboard(vsim.NewMemory(states[0])); err != nil {
		t.Fatal(err)
	}
	spare, err := w.Admin.CreateToken(t.Context(), api.TokenRequest{Name: "spare", Role: api.RoleAuditor})
	if err != nil {
		t.Fatal(err)
	}
	invited, err := w.Admin.InviteAppServer(t.Context(), api.Invitation{Name: "spare"})
	if err != nil {
		t.Fatal(err)
	}
	csr, _ := fixture.Request(t)
	const sim = "89882119900000000017"
	writes := []struct {
		name string
		do   func(context.Context) (any, error)
	}{
		{"create a fleet", func(ctx context.Context) (any, error) {
			return w.Admin.CreateFleet(ctx, api.Fleet{Name: "new", Profile: api.Profile{}.WithDefaults()})
		}},
		{"suspend", func(ctx context.Context) (any, error) { return w.Admin.SuspendSIM(ctx, sim, api.Change{}) }},
		{"resume", func(ctx context.Context) (any, error) { return w.Admin.ResumeSIM(ctx, sim, api.Change{}) }},
		{"move", func(ctx context.Context) (any, error) { return w.Admin.MoveSIM(ctx, sim, api.Move{Fleet: "other"}) }},
		{"revoke", func(ctx context.Context) (any, error) {
			return w.Admin.RevokeSIM(ctx, sim, api.Change{Reason: api.ReasonKeyCompromise})
		}},
		{"terminate", func(ctx context.Context) (any, error) {
			return w.Admin.TerminateSIM(ctx, "89882119900000000033", api.Change{})
		}},
		{"create a token", func(ctx context.Context) (any, error) {
			return w.Admin.CreateToken(ctx, api.TokenRequest{Name: "named", Role: api.RoleAuditor})
		}},
		{"withdraw a token", func(ctx context.Context) (any, error) { return nil, w.Admin.WithdrawToken(ctx, spare.ID) }},
		{"invite a server", func(ctx context.Context) (any, error) {
			return w.Admin.InviteAppServer(ctx, api.Invitation{Name: "named"})
		}},
		{"withdraw a server", func(ctx context.Context) (any, error) { return nil, w.Admin.WithdrawAppServer(ctx, invited.ID) }},
		{"certify a server", func(ctx context.Context) (any, error) {
			return w.Admin.RequestServerCertificate(ctx, api.ServerRequest{Names: []string{"named.example"}, CSR: csr})
		}},
	}
	entries := func() (n int) {
		for _, err := range w.Admin.Audit(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	answers := make([]any, len(writes))
	for i, write := range writes {
		before := entries()
		if answers[i], err = write.do(keyed(t, write.name[:3]+string(rune('a'+i)))); err != nil {
			t.Fatalf("%s: %v", write.name, err)
		}
		if entries() == before {
			t.Errorf("%s: nothing was done", write.name)
		}
	}
	done := entries()
	for range 2 {
		for i, write := range writes {
			again, err := write.do(keyed(t, write.name[:3]+string(rune('a'+i))))
			if err != nil || !reflect.DeepEqual(again, answers[i]) {
				t.Errorf("%s again: %v, %v, want %v", write.name, again, err, answers[i])
			}
		}
		w.restart()
	}
	if n := entries(); n != done {
		t.Errorf("the repetitions did %d things", n-done)
	}
	if _, err := w.Admin.InviteAppServer(keyed(t, "susb"), api.Invitation{Name: "named"}); !api.HasCode(err, api.CodeKeyReused) {
		t.Errorf("a key for another request: %v", err)
	}
	for i := range writes {
		var secret string
		switch a := answers[i].(type) {
		case api.NewToken:
			secret = a.Secret
		case api.NewAppServer:
			secret = a.Token
		default:
			continue
		}
		files, err := filepath.Glob(filepath.Join(w.Dir, "platform.db*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil || bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds a token in clear, %v", file, err)
			}
		}
	}
}

// A campaign that is begun under a key begins at once, as any other does.
func TestACampaignUnderAKeyBeginsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	for i, state := range w.sims("meters", "common", "89882119900000000017", "89882119900000000025", "89882119900000000033") {
		if _, err := w.onboard(vsim.NewMemory(state)); err != nil {
			t.Fatal(err)
		}
		campaign, err := w.Admin.CreateCampaign(keyed(t, string(rune('a'+i))), api.CampaignRequest{Fleet: "meters", Kind: api.RevokeAll})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the next look without being told comes after a minute
		for campaign.State != api.CampaignFinished {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("the campaign stays %s", campaign.State)
			}
			if campaign, err = w.Admin.Campaign(t.Context(), campaign.ID); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
	}
}

// A roll-over's steps under keys are taken over at once, as others are.
func TestARollOverUnderKeysIsTakenOverAtOnce(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	begun, err := w.Admin.BeginRollover(keyed(t, "begin"), api.Change{})
	if err != nil || begun.Next == "" {
		t.Fatal(begun, err)
	}
	if n := len(w.roots()); n != 2 {
		t.Errorf("%d roots are published", n)
	}
	if _, err := w.Admin.FinishRollover(keyed(t, "finish"), api.FinishRollover{Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.onboard(vsim.NewMemory(w.sims("meters", "common", "89882119900000000017")[0])); err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(w.active("89882119900000000017").Certificate)
	if err != nil {
		t.Fatal(err)
	}
	generation := begun.Next[strings.LastIndexByte(begun.Next, ' '):] // the issuing CA's name ends as its root's
	if by := certificate.Issuer.CommonName; !strings.HasSuffix(by, generation) {
		t.Errorf("the issuer is %s, want that of %s", by, begun.Next)
	}
	if again, err := w.Admin.BeginRollover(keyed(t, "begin"), api.Change{}); err != nil || again.Next != begun.Next {
		t.Errorf("the beginning repeated: %v, %v", again, err)
	}
}
