package appserver

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/perso"
)

// The ways in which the confirmation of a PSK fails.
var (
	ErrNoSecret     = errors.New("credential is not a pre-shared key")
	ErrNotConfirmed = errors.New("the SIM has not proved yet that it holds the secret")
	ErrSecretDiffer = errors.New("the SIM's proof does not fit the secret that the platform gives")
)

// ConfirmSecret checks that the SIM and the platform hold the same PSK: it fetches the
// secret of a credential from the platform, sealed to [Options.SealingKey], and compares
// the SIM's proof of possession with its own. The secret itself stays inside and is wiped.
//
// It fails with [ErrUnknown] or another reason of a refusal, [ErrNoSecret],
// [ErrNotConfirmed], [ErrSecretDiffer], or what the platform answers.
func (m *Middleware) ConfirmSecret(ctx context.Context, credentialID string) error {
	id, confirmation, err := m.lookupSecret(credentialID)
	if err != nil {
		return fmt.Errorf("appserver: credential %s: %w", credentialID, err)
	}
	iccid, err := card.ParseICCID(id.ICCID)
	if err != nil {
		return fmt.Errorf("appserver: credential %s: %w", credentialID, err)
	}
	sealed, err := m.platform.Secret(ctx, credentialID)
	if err != nil {
		return fmt.Errorf("appserver: fetch the secret of credential %s: %w", credentialID, err)
	}
	secret, err := api.OpenSealed(m.sealingKey, credentialID, sealed.Sealed)
	if err != nil {
		return fmt.Errorf("appserver: secret of credential %s: %w", credentialID, err)
	}
	defer clear(secret)
	proof := perso.SecretProof(secret, [perso.ChallengeSize]byte(confirmation.Challenge), iccid.File())
	if subtle.ConstantTimeCompare(proof[:], confirmation.Proof) != 1 {
		return fmt.Errorf("appserver: credential %s of SIM %s: %w", credentialID, id.ICCID, ErrSecretDiffer)
	}
	return nil
}

// lookupSecret finds what is known of a PSK that is accepted.
func (m *Middleware) lookupSecret(credentialID string) (Identity, *api.Confirmation, error) {
	now := m.now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.current.byCredentialID(credentialID)
	if c == nil {
		return Identity{}, nil, ErrUnknown
	}
	id := m.current.identify(c)
	if id.Type != api.PSKType {
		return id, nil, ErrNoSecret
	}
	if err := m.current.refusal(c, now); err != nil {
		return id, nil, err
	}
	confirmation := m.current.confirmation(c)
	if confirmation == nil {
		return id, nil, ErrNotConfirmed
	}
	return id, confirmation, nil
}
