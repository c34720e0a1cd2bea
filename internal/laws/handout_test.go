package laws

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/vsim"
)

// handouts are the secrets that the audit log says were handed out, in order: to whom and of which credential.
func (w *world) handouts() (all []string) {
	w.t.Helper()
	for e, err := range w.Admin.Audit(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Action == "secret.handed-out" {
			all = append(all, e.Actor+": "+e.Subject)
		}
	}
	return all
}

// server is a client with the token of an application server for some fleets, and its sealing key.
func (w *world) server(fleets ...string) (client *api.Client, private []byte) {
	w.t.Helper()
	private, public, err := api.GenerateSealKey()
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.Admin.CreateToken(w.t.Context(), api.TokenRequest{Name: "server", Role: api.RoleAppServer, SealingKey: public, Fleets: fleets})
	if err != nil {
		w.t.Fatal(err)
	}
	if client, err = w.Client(token.Secret); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client, private
}

// said is an answer about one secret as who asked for it can tell it from another: the PSK, or the refusal, but for
// the number of the request.
func said(t testing.TB, private []byte, h api.HandedSecret) string {
	t.Helper()
	if r := h.Refusal; r != nil {
		if h.Sealed != nil || r.RequestID == "" {
			t.Errorf("%s: %+v", h.Credential, h)
		}
		return fmt.Sprintf("%d %s %s: %s", r.Status, r.Title, r.Code, r.Detail)
	}
	psk, err := api.OpenSealed(private, h.Credential, h.Sealed)
	if err != nil {
		t.Errorf("%s: %v", h.Credential, err)
	}
	return fmt.Sprintf("PSK %x", psk)
}

// Who asks for many secrets at once is told of each what it would be told if it asked for that one alone, whatever
// state it is in and whoever asks; and the audit log tells the same of both.
func TestManySecretsAreAnsweredLikeOneAndOne(t *testing.T) {
	w := newWorld(t)
	var ids []string
	onboarded := func(fleet, profile, iccid string) api.Credential {
		if _, err := w.onboard(vsim.NewMemory(w.sims(fleet, profile, iccid)[0])); err != nil {
			t.Fatal(err)
		}
		c := w.active(iccid)
		ids = append(ids, c.ID)
		return c
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for fleet, kind := range map[string]api.CredentialType{"meters": api.CertificateType, "tags": api.PSKType, "locks": api.PSKType} {
		w.fleet(fleet, api.Profile{Type: kind})
	}
	ctx := t.Context()
	onboarded("meters", "common", "89882119900000000017")
	tag := onboarded("tags", "type2", "89882119900000000025")
	onboarded("locks", "type2", "89882119900000000033")
	suspended := onboarded("tags", "type2", "89882119900000000041")
	must(w.Admin.SuspendSIM(ctx, suspended.ICCID, api.Change{}))
	revoked := onboarded("tags", "type2", "89882119900000000058")
	must(w.Admin.RevokeCredential(ctx, revoked.ID, api.Change{Reason: api.ReasonKeyCompromise}))
	terminated := onboarded("tags", "type2", "89882119900000000066")
	must(w.Admin.TerminateSIM(ctx, terminated.ICCID, api.Change{}))
	moved := onboarded("locks", "type2", "89882119900000000074")
	must(w.Admin.MoveSIM(ctx, moved.ICCID, api.Move{Fleet: "tags"}))
	ids = append(ids, "0000000000000000", "no ID at all/..", tag.ID)

	for _, fleets := range [][]string{nil, {"tags"}, {"locks"}, {"meters", "locks"}} {
		t.Run(fmt.Sprint(fleets), func(t *testing.T) {
			client, private := w.server(fleets...)
			before := len(w.handouts())
			var single []string
			given := 0
			for _, id := range ids {
				sealed, err := client.Secret(ctx, id)
				h := api.HandedSecret{Credential: id, Sealed: sealed.Sealed}
				if err != nil && !errors.As(err, &h.Refusal) {
					t.Fatal(err)
				}
				if err == nil {
					given++
				}
				single = append(single, said(t, private, h))
			}
			middle := len(w.handouts())
			items, err := client.Secrets(ctx, ids)
			if err != nil {
				t.Fatal(err)
			}
			for i, h := range items {
				if got := said(t, private, h); h.Credential != ids[i] || got != single[i] {
					t.Errorf("%s: among many %q, alone %q", h.Credential, got, single[i])
				}
			}
			log := w.handouts()
			if alone, many := log[before:middle], log[middle:]; len(alone) != given || !slices.Equal(alone, many) {
				t.Errorf("%d were handed out one by one; the audit log: %v, and together: %v", given, alone, many)
			}
			if given == 0 || given == len(ids) {
				t.Errorf("%d of %d were handed out: the test does not see the difference", given, len(ids))
			}
		})
	}

	// One that is not for the asking is not told from one that is not there.
	client, _ := w.server("locks")
	items, err := client.Secrets(ctx, []string{tag.ID, "0000000000000000"})
	if err != nil {
		t.Fatal(err)
	}
	foreign, none := *items[0].Refusal, *items[1].Refusal
	foreign.Detail = strings.ReplaceAll(foreign.Detail, tag.ID, "0000000000000000")
	if foreign != none {
		t.Errorf("another fleet's credential: %+v; none: %+v", foreign, none)
	}
}

func TestManySecretsTakeASealingKeyAndAreNotTooMany(t *testing.T) {
	w := newWorld(t)
	client, _ := w.server()
	ids := slices.Repeat([]string{"0000000000000000"}, api.MaxSecrets)
	if items, err := client.Secrets(t.Context(), ids); err != nil || len(items) != len(ids) {
		t.Errorf("%d items, %v", len(items), err)
	}
	if _, err := client.Secrets(t.Context(), append(ids, ids[0])); !api.HasCode(err, api.CodeBadRequest) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := w.Admin.Secrets(t.Context(), ids[:1]); !api.HasCode(err, api.CodeForbidden) {
		t.Errorf("without a sealing key: %v", err)
	}
}
