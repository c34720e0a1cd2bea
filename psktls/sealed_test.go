package psktls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestASealedKeyIsWipedAfterEachUse(t *testing.T) {
	for _, version := range []uint16{VersionTLS12, VersionTLS13} {
		var opened [][]byte
		server := &Config{GetKey: func(context.Context, []byte) (Key, error) {
			return SealedKey(func(context.Context) ([]byte, error) {
				secret := bytes.Clone(testPSK)
				opened = append(opened, secret)
				return secret, nil
			}), nil
		}}
		client := clientConfig()
		client.MinVersion, client.MaxVersion = version, version
		c, s := connected(t, client, server)
		echo(t, c, s, []byte("hello"))
		if len(opened) != 1 || !bytes.Equal(opened[0], make([]byte, len(testPSK))) {
			t.Errorf("%x: the key was opened %d times, and not wiped", version, len(opened))
		}
	}
}

func TestASealedKeyThatDoesNotOpenEndsTheHandshake(t *testing.T) {
	torn := errors.New("torn")
	_, _, clientErr, serverErr := handshakes(t, clientConfig(), &Config{GetKey: func(context.Context, []byte) (Key, error) {
		return SealedKey(func(context.Context) ([]byte, error) { return nil, torn }), nil
	}})
	wantAlert(t, clientErr, AlertInternalError, true)
	if !errors.Is(serverErr, torn) {
		t.Errorf("the server says %v", serverErr)
	}
}

func TestAKeyBesideErrUnknownIdentityStandsIn(t *testing.T) {
	reason := errors.New("revoked")
	for _, version := range []uint16{VersionTLS12, VersionTLS13} {
		for name, standIn := range map[string]Key{"another": SecretKey([]byte("nobody's")), "even the right one": SecretKey(testPSK)} {
			client := clientConfig()
			client.MinVersion, client.MaxVersion = version, version
			_, _, _, serverErr := handshakes(t, client, &Config{GetKey: func(context.Context, []byte) (Key, error) {
				return standIn, fmt.Errorf("%w: %w", ErrUnknownIdentity, reason)
			}})
			if !errors.Is(serverErr, ErrUnknownIdentity) || !errors.Is(serverErr, reason) {
				t.Errorf("%x, %s: the server says %v", version, name, serverErr)
			}
		}
	}
}
