package appserver

import (
	"bytes"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// without is a folder of a middleware that knows n credentials, which it is told to have no secrets of.
func without(t *testing.T, p *platformtest.Platform, n int) (dir string, private []byte, keys []platformtest.PSK) {
	t.Helper()
	private, public := sealingKey(t)
	for i := range n {
		keys = append(keys, p.ProvisionPSK(t, platformtest.ICCID(i), public))
	}
	dir = t.TempDir()
	m := open(t, p, Options{Dir: dir})
	inStep(t, m, p)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, private, keys
}

// reveals checks that a middleware has secrets, and that they are the right ones.
func reveals(t *testing.T, m *Middleware, keys []platformtest.PSK) {
	t.Helper()
	for _, k := range keys {
		if secret, refusal, err := m.RevealPSK([]byte(k.Identity)); err != nil || refusal != nil || !bytes.Equal(secret, k.Secret) {
			t.Errorf("%s: %v, %v", k.Credential, refusal, err)
		}
	}
}

func TestManySecretsComeInFewRequests(t *testing.T) {
	p := platformtest.New(t)
	dir, private, keys := without(t, p, 2*api.MaxSecrets+1)
	m := openUnready(t, p, Options{Dir: dir, SealingKey: private})
	secretsReady(t, m)
	reveals(t, m, keys)
	if one, many := p.SecretRequests(); one+many > fetchers {
		t.Errorf("%d requests for one secret and %d for many, of %d", one, many, len(keys))
	}
}

func TestOneSecretIsAskedForAlone(t *testing.T) {
	p := platformtest.New(t)
	dir, private, keys := without(t, p, 1)
	m := openUnready(t, p, Options{Dir: dir, SealingKey: private})
	secretsReady(t, m)
	reveals(t, m, keys)
	if one, many := p.SecretRequests(); one != 1 || many != 0 {
		t.Errorf("%d requests for one secret and %d for many", one, many)
	}
}

func TestAnOlderPlatformIsAskedForOneSecretAfterTheOther(t *testing.T) {
	p := platformtest.New(t)
	p.OneByOne(true)
	dir, private, keys := without(t, p, 10)
	m := openUnready(t, p, Options{Dir: dir, SealingKey: private})
	secretsReady(t, m)
	reveals(t, m, keys)
	if one, _ := p.SecretRequests(); one != len(keys) {
		t.Errorf("%d requests for %d secrets", one, len(keys))
	}
}

// What is wrong with one secret holds up none of those that come with it.
func TestSecretsDoNotWaitForThoseThatAreRefused(t *testing.T) {
	for name, old := range map[string]bool{"together": false, "one by one": true} {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			p.OneByOne(old)
			dir, private, keys := without(t, p, 20)
			_, stranger := sealingKey(t)
			foreign := p.ProvisionPSK(t, platformtest.ICCID(100), stranger)
			p.LoseSecret(keys[3].Credential)
			p.LoseSecret(keys[19].Credential)
			m := open(t, p, Options{Dir: dir, SealingKey: private})
			inStep(t, m, p)
			realWait(t, func() bool { return m.Synced().Secrets == 1 }, m)
			reveals(t, m, keys[:3])
			reveals(t, m, keys[4:19])
			for _, k := range []platformtest.PSK{keys[3], keys[19], foreign} {
				if m.secrets.vault.has(k.Credential) {
					t.Errorf("there is a secret of %s", k.Credential)
				}
			}
		})
	}
}

func TestAPlatformThatWasSilentIsAskedForTheSecretsAgain(t *testing.T) {
	p := platformtest.New(t)
	dir, private, keys := without(t, p, 30)
	p.Withhold(true)
	m := openUnready(t, p, Options{Dir: dir, SealingKey: private})
	realWait(t, func() bool { one, many := p.SecretRequests(); return one+many > 0 }, m)
	p.Withhold(false)
	secretsReady(t, m)
	reveals(t, m, keys)
}
