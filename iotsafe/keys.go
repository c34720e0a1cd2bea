package iotsafe

import (
	"context"
	"crypto/ecdsa"

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
	Key             *ecdsa.PublicKey
}

// PublicKey reads a P-256 public key.
func (a *Applet) PublicKey(ctx context.Context, id ID) (*ecdsa.PublicKey, error) {
	if err := a.acquire(ctx); err != nil {
		return nil, Error{Op: opRead, Kind: PublicKey, ID: id}.failed(err)
	}
	defer a.release()
	return a.publicKey(ctx, id)
}

func (a *Applet) publicKey(ctx context.Context, id ID) (*ecdsa.PublicKey, error) {
	what := Error{Op: opRead, Kind: PublicKey, ID: id}
	c, err := command(insReadPublicKey, PublicKey, id)
	if err != nil {
		return nil, what.failed(err)
	}
	b, err := a.do(ctx, what, c)
	if err != nil {
		return nil, err
	}
	key, err := ParsePublicKey(b)
	if err != nil {
		return nil, what.failed(err)
	}
	return key, nil
}

// GenerateKeyPair makes the applet generate a key pair in the containers of the given
// private key and of its public half. The old pair is lost. The card may name the halves
// anew: use the identifiers that come back.
func (a *Applet) GenerateKeyPair(ctx context.Context, private ID) (KeyPair, error) {
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
	if pair.Key == nil { // some applets name the halves only
		if pair.Key, err = a.publicKey(ctx, pair.Public); err != nil {
			return KeyPair{}, err
		}
	}
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
		pair.Key, err = ParsePublicKey(b)
		return pair, err
	}
	parts, err := tlv.ParseSimple(b)
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
			pair.Key, err = ParsePublicKey(tlv.AppendSimple(nil, TagPublicKey, p.Value...))
		}
		if err != nil {
			return pair, err
		}
	}
	return pair, nil
}
