package appserver

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/perso"
)

func TestASecretIsConfirmedIfBothSidesHoldTheSame(t *testing.T) {
	p := platformtest.New(t)
	private, public, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, p, Options{SealingKey: private})
	iccid := card.ICCID(platformtest.ICCID(1))
	secret, other := make([]byte, 32), make([]byte, 32)
	rand.Read(secret)
	rand.Read(other)
	var challenge [perso.ChallengeSize]byte
	rand.Read(challenge[:])
	proof := func(secret []byte) *api.Confirmation {
		proof := perso.SecretProof(secret, challenge, iccid.File())
		return &api.Confirmation{Challenge: challenge[:], Proof: proof[:]}
	}
	seal := func(info string, secret []byte) []byte {
		sealed, err := api.Seal(public, info, secret)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	p.PSK(string(iccid), "same", seal("same", secret), proof(secret))
	p.PSK(string(iccid), "different", seal("different", other), proof(secret))
	p.PSK(string(iccid), "unproved", seal("unproved", secret), nil)
	p.PSK(string(iccid), "short", seal("short", secret), &api.Confirmation{Challenge: []byte{1}, Proof: []byte{2}})
	p.PSK(string(iccid), "elsewhere", seal("same", secret), proof(secret))
	sim := p.Provision(t, platformtest.ICCID(2))
	p.PSK(string(iccid), "revoked", seal("revoked", secret), proof(secret))
	p.SetCredential("revoked", api.Revoked)
	inStep(t, m, p)

	for id, want := range map[string]error{
		"same": nil, "different": ErrSecretDiffer, "unproved": ErrNotConfirmed, "short": ErrNotConfirmed,
		"none": ErrUnknown, "revoked": ErrRevoked, sim.Credential: ErrNoSecret,
	} {
		err := m.ConfirmSecret(t.Context(), id)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", id, err, want)
		}
		if err != nil && (bytes.Contains([]byte(err.Error()), secret) || bytes.Contains([]byte(err.Error()), other)) {
			t.Errorf("%s: the error tells the secret", id)
		}
	}
	if err := m.ConfirmSecret(t.Context(), "elsewhere"); err == nil {
		t.Error("a secret sealed for another credential was taken")
	}
}
