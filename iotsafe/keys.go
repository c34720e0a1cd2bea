package iotsafe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"fmt"

	"github.com/simroot/simroot/tlv"
)

// Instructions on keys.
const (
	insGenerateKeyPair = 0xB9
	insReadPublicKey   = 0xCD
)

// KeyPair is a key pair that the applet generated.
type KeyPair struct {
	Private, Public ID // as the card names them from now on

	// Key is the public key of a pair on P-256, nil for any other; AnyKey is it
	// for every kind, as [ParseAnyPublicKey] gives it.
	Key    *ecdsa.PublicKey
	AnyKey crypto.PublicKey
}

// PublicKey reads a P-256 public key.
func (a *Applet) PublicKey(ctx context.Context, id ID) (*ecdsa.PublicKey, error) {
	if err := a.acquire(ctx); err != nil {
		return nil, Error{Op: opRead, Kind: PublicKey, ID: id}.failed(err)
	}
	defer a.release()
	key, err := a.publicKey(ctx, id)
	if err != nil {
		return nil, err
	}
	p256, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, Error{Op: opRead, Kind: PublicKey, ID: id}.failed(notP256(key))
	}
	return p256, nil
}

// AnyPublicKey reads a public key of any kind: see [ParseAnyPublicKey].
func (a *Applet) AnyPublicKey(ctx context.Context, id ID) (crypto.PublicKey, error) {
	if err := a.acquire(ctx); err != nil {
		return nil, Error{Op: opRead, Kind: PublicKey, ID: id}.failed(err)
	}
	defer a.release()
	return a.publicKey(ctx, id)
}

func (a *Applet) publicKey(ctx context.Context, id ID) (crypto.PublicKey, error) {
	what := Error{Op: opRead, Kind: PublicKey, ID: id}
	c, err := command(insReadPublicKey, PublicKey, id)
	if err != nil {
		return nil, what.failed(err)
	}
	b, err := a.do(ctx, what, c)
	if err != nil {
		return nil, err
	}
	key, err := ParseAnyPublicKey(b)
	if err != nil {
		return nil, what.failed(err)
	}
	return key, nil
}

// GenerateKeyPair makes the applet generate a P-256 key pair in the containers of the
// given private key and of its public half. The old pair is lost. The card may name the
// halves anew: use the identifiers that come back.
func (a *Applet) GenerateKeyPair(ctx context.Context, private ID) (KeyPair, error) {
	pair, err := a.GenerateAnyKeyPair(ctx, private)
	if err == nil && pair.Key == nil {
		return KeyPair{}, Error{Op: opGenerate, Kind: PrivateKey, ID: private}.failed(notP256(pair.AnyKey))
	}
	return pair, err
}

func notP256(key crypto.PublicKey) error {
	return fmt.Errorf("the card's public key is not a point of P-256, but a %T", key)
}

// GenerateAnyKeyPair is [Applet.GenerateKeyPair] for containers of any key type.
func (a *Applet) GenerateAnyKeyPair(ctx context.Context, private ID) (KeyPair, error) {
	what := Error{Op: opGenerate, Kind: PrivateKey, ID: private}
	c, err := command(insGenerateKeyPair, PrivateKey, private)
	if err != nil {
		return KeyPair{}, what.failed(err)
	}
	if err := a.acquire(ctx); err != nil {
		return KeyPair{}, what.failed(err)
	}
	defer a.release()
	b, err := a.do(ctx, what, c)
	if err != nil {
		return KeyPair{}, err
	}
	pair, err := parseKeyPair(private, b)
	if err != nil {
		return KeyPair{}, what.failed(err)
	}
	if pair.AnyKey == nil { // some applets name the halves only
		if pair.AnyKey, err = a.publicKey(ctx, pair.Public); err != nil {
			return KeyPair{}, err
		}
	}
	pair.Key, _ = pair.AnyKey.(*ecdsa.PublicKey)
	return pair, nil
}

// parseKeyPair reads the answer to GENERATE KEY PAIR: 84, 85 and 34 in the specified
// form, 34 or a bare point alone from some applets. Without an identifier the half is
// taken to be named like the private key before.
func parseKeyPair(private ID, b []byte) (KeyPair, error) {
	pair := KeyPair{Private: private, Public: private}
	if len(b) == 0 {
		return pair, errNoData
	}
	var err error
	if len(b) == 65 && b[0] == 0x04 {
		pair.AnyKey, err = ParseAnyPublicKey(b)
		return pair, err
	}
	parts, err := tlv.Parse(b)
	if err != nil {
		return pair, err
	}
	named := false
	for _, p := range parts {
		switch byte(p.Tag) {
		case PrivateKey.IDTag():
			pair.Private = ID(p.Value)
			err = pair.Private.Check()
			if !named {
				pair.Public = pair.Private
			}
		case PublicKey.IDTag():
			pair.Public, named = ID(p.Value), true
			err = pair.Public.Check()
		case TagPublicKey:
			pair.AnyKey, err = ParseAnyPublicKey(tlv.Append(nil, p.Tag, p.Value...))
		}
		if err != nil {
			return pair, err
		}
	}
	return pair, nil
}
