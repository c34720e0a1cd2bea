// Package kms opens keys that are not in the platform's folder: in a PKCS#11 token or at a
// cloud's key service, by URI, through go.step.sm/crypto/kms.
//
//	pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=simroot;id=01;object=kek?pin-source=/etc/simroot/pin
//	awskms:key-id=…            cloudkms:projects/…/cryptoKeyVersions/1
//
// Which kinds a program can open is decided when it is built: PKCS#11 with the build tag pkcs11
// (it needs cgo), the clouds with the tag cloudkms. A key stays open as long as the process.
package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/uri"
)

// ErrNotBuiltIn means that this program was built without what a URI needs.
var ErrNotBuiltIn = errors.New("this program was built without it")

// Name is a URI without what may be secret in it, to be shown.
func Name(keyURI string) string {
	name, _, _ := strings.Cut(keyURI, "?")
	return name
}

// Signer opens a P-256 key that signs. With create, a key that a PKCS#11 token does not hold
// yet is made in it.
func Signer(ctx context.Context, keyURI string, create bool) (crypto.Signer, error) {
	manager, public, err := open(ctx, keyURI, create, apiv1.CreateKeyRequest{SignatureAlgorithm: apiv1.ECDSAWithSHA256})
	if err != nil {
		return nil, err
	}
	if key, ok := public.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key %s: a %T: a CA's key has to be on the curve P-256, which SIMs can check", Name(keyURI), public)
	}
	signer, err := manager.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: keyURI})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", Name(keyURI), err)
	}
	return signer, nil
}

// Decrypter opens an RSA key that decrypts. With create, a key of 3072 bits is made in a
// PKCS#11 token that does not hold it yet.
func Decrypter(ctx context.Context, keyURI string, create bool) (crypto.Decrypter, error) {
	manager, public, err := open(ctx, keyURI, create, apiv1.CreateKeyRequest{SignatureAlgorithm: apiv1.SHA256WithRSA, Bits: 3072})
	if err != nil {
		return nil, err
	}
	if key, ok := public.(*rsa.PublicKey); !ok || key.N.BitLen() < 2048 {
		return nil, fmt.Errorf("key %s: a %T: a key-encryption key has to be RSA with 2048 bits or more", Name(keyURI), public)
	}
	decrypters, ok := manager.(apiv1.Decrypter)
	if !ok {
		return nil, fmt.Errorf("key %s: this key service does not decrypt", Name(keyURI))
	}
	decrypter, err := decrypters.CreateDecrypter(&apiv1.CreateDecrypterRequest{DecryptionKey: keyURI})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", Name(keyURI), err)
	}
	return decrypter, nil
}

// open opens the key's manager.
func open(ctx context.Context, keyURI string, create bool, want apiv1.CreateKeyRequest) (apiv1.KeyManager, crypto.PublicKey, error) {
	kind, err := apiv1.TypeOf(keyURI)
	if err != nil {
		return nil, nil, fmt.Errorf("key %s: this is no URI of a key: want pkcs11:…, awskms:… or cloudkms:…", Name(keyURI))
	}
	start, ok := apiv1.LoadKeyManagerNewFunc(kind)
	if !ok {
		return nil, nil, fmt.Errorf("key %s: %w: build it with -tags pkcs11 (and cgo) for PKCS#11, with -tags cloudkms for a cloud", Name(keyURI), ErrNotBuiltIn)
	}
	if err := checkPIN(keyURI); err != nil {
		return nil, nil, err
	}
	manager, err := start(ctx, apiv1.Options{Type: kind, URI: keyURI})
	if err != nil {
		return nil, nil, fmt.Errorf("key %s: %w", Name(keyURI), err)
	}
	public, err := manager.GetPublicKey(&apiv1.GetPublicKeyRequest{Name: keyURI})
	if errors.Is(err, apiv1.NotFoundError{}) && create && kind == apiv1.PKCS11 {
		want.Name = keyURI
		if _, err = manager.CreateKey(&want); err == nil {
			public, err = manager.GetPublicKey(&apiv1.GetPublicKeyRequest{Name: keyURI})
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("key %s: %w", Name(keyURI), err), manager.Close())
	}
	return manager, public, nil
}

// checkPIN refuses a file with a PIN that others may read.
func checkPIN(keyURI string) error {
	parsed, err := uri.Parse(keyURI)
	if err != nil {
		return fmt.Errorf("key %s: this is no URI", Name(keyURI))
	}
	file := strings.TrimPrefix(parsed.Get("pin-source"), "file:")
	if file == "" {
		return nil
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("key %s: its PIN is to be in %s, which does not exist", Name(keyURI), file)
	case err != nil:
		return err
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has mode %04o: a PIN that others can read is no secret; if you trust it still, run chmod 600 on it", file, info.Mode().Perm())
	}
	return nil
}
