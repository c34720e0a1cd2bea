package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/token"
)

func TestATokenSpeaksForItsHolderUntilItEnds(t *testing.T) {
	w := fixture.New(t)
	tokens, ctx := token.New(w.Store, w.Now), t.Context()
	made, err := tokens.Create(ctx, "test", api.TokenRequest{Name: "me", Role: api.RoleOperator, Lifetime: api.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	who, err := tokens.Authenticate(ctx, made.Secret)
	if err != nil || who.ID != made.ID || who.Name != "me" || who.Role != api.RoleOperator {
		t.Fatal(who, err)
	}
	for _, wrong := range []string{"", "simroot_", made.Secret + "x", made.Secret[:len(made.Secret)-1], strings.ToUpper(made.Secret)} {
		_, err := tokens.Authenticate(ctx, wrong)
		fixture.Refused(t, err, api.CodeUnauthorized)
	}
	w.Pass(time.Hour)
	_, err = tokens.Authenticate(ctx, made.Secret)
	fixture.Refused(t, err, api.CodeUnauthorized)
	if strings.Contains(err.Error(), made.Secret) {
		t.Error("the refusal repeats the secret")
	}
}

func TestAWithdrawnTokenIsRefused(t *testing.T) {
	w := fixture.New(t)
	tokens, ctx := token.New(w.Store, w.Now), t.Context()
	made, err := tokens.Create(ctx, "test", api.TokenRequest{Name: "me", Role: api.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := tokens.Withdraw(ctx, "test", made.ID); err != nil {
			t.Fatal(err)
		}
	}
	_, err = tokens.Authenticate(ctx, made.Secret)
	fixture.Refused(t, err, api.CodeUnauthorized)
	if p, err := tokens.List(ctx, "", 0); err != nil || len(p.Items) != 0 {
		t.Error(p, err)
	}
	fixture.Refused(t, tokens.Withdraw(ctx, "test", "none"), api.CodeUnknownToken)
}

func TestTheSecretOfATokenIsNotStored(t *testing.T) {
	w := fixture.New(t)
	made, err := token.New(w.Store, w.Now).Create(t.Context(), "test", api.TokenRequest{Name: "me", Role: api.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Store.View(t.Context(), func(tx store.Tx) error {
		row, err := tx.Token(made.ID)
		if strings.Contains(string(row.Hash[:]), made.Secret) || row.Hash == [32]byte{} {
			t.Error("the row holds the secret, or no hash")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRequestsForTokensAreChecked(t *testing.T) {
	w := fixture.New(t)
	tokens := token.New(w.Store, w.Now)
	key := make([]byte, api.SealKeySize)
	for _, bad := range []api.TokenRequest{
		{Name: "", Role: api.RoleAdmin},
		{Name: "me", Role: "king"},
		{Name: "me", Role: api.RoleAdmin, Lifetime: -1},
		{Name: "me", Role: api.RoleAdmin, Lifetime: api.Duration(100 * 365 * 24 * time.Hour)},
		{Name: "me", Role: api.RoleAdmin, SealingKey: key},
		{Name: "me", Role: api.RoleAppServer, SealingKey: key[1:]},
	} {
		_, err := tokens.Create(t.Context(), "test", bad)
		fixture.Refused(t, err, api.CodeBadRequest)
	}
	made, err := tokens.Create(t.Context(), "test", api.TokenRequest{Name: "broker", Role: api.RoleAppServer, SealingKey: key})
	if err != nil || made.Expires.Sub(made.Created) != 365*24*time.Hour {
		t.Fatal(made.Token, err)
	}
	if who, err := tokens.Authenticate(t.Context(), made.Secret); err != nil || len(who.SealingKey) != api.SealKeySize {
		t.Error(who, err)
	}
}
