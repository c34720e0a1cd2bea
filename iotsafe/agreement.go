package iotsafe

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"errors"
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// insComputeDH is COMPUTE DH.
const insComputeDH = 0x46

// maxKeyPart is the most public key data in one command, tag and length not counted.
const maxKeyPart = 0xFD

// PutPublicKey puts a peer's public key into a container of the SIM that may be updated:
// a P-256 key (*ecdsa.PublicKey or *ecdh.PublicKey), an *rsa.PublicKey of 2048 bits, or a
// [Point]. The old key is in place until the new one is there as a whole.
func (a *Applet) PutPublicKey(ctx context.Context, id ID, key crypto.PublicKey) error {
	what := Error{Op: opPut, Kind: PublicKey, ID: id}
	data, err := putKeyData(id, key)
	if err != nil {
		return what.failed(err)
	}
	if err := a.acquire(ctx); err != nil {
		return what.failed(err)
	}
	defer a.release()
	return a.putPublicKey(ctx, what, data)
}

// putKeyData is what UPDATE carries for a key: a field of its own in each command, which
// is the only form known from the field for more than one.
func putKeyData(id ID, key crypto.PublicKey) ([][]byte, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	data, err := AppendAnyPublicKey(nil, key)
	if err != nil {
		return nil, err
	}
	if len(data) <= apdu.MaxData {
		return [][]byte{data}, nil
	}
	field, _, err := tlv.Next(data)
	if err != nil {
		return nil, err
	}
	var parts [][]byte
	for b := field.Value; len(b) > 0; {
		n := min(len(b), maxKeyPart)
		parts, b = append(parts, append([]byte{TagPublicKey, byte(n)}, b[:n]...)), b[n:]
	}
	return parts, nil
}

func (a *Applet) putPublicKey(ctx context.Context, what Error, data [][]byte) error {
	_, err := a.session(ctx, what, putKeySession, tlv.AppendSimple(nil, PublicKey.IDTag(), []byte(what.ID)...), data...)
	return err
}

// SharedSecret makes the applet agree on a secret, with a private key of its own and the
// peer's public key in one of its containers, and returns the x coordinate that both
// sides know (32 bytes).
func (a *Applet) SharedSecret(ctx context.Context, private, public ID) ([]byte, error) {
	what := Error{Op: opAgree, Kind: PrivateKey, ID: private}
	if err := a.acquire(ctx); err != nil {
		return nil, what.failed(err)
	}
	defer a.release()
	return a.sharedSecret(ctx, what, public)
}

func (a *Applet) sharedSecret(ctx context.Context, what Error, public ID) ([]byte, error) {
	c, err := command(insComputeDH, PrivateKey, what.ID)
	if err == nil {
		err = public.Check()
	}
	if err != nil {
		return nil, what.failed(err)
	}
	c.Data = tlv.AppendSimple(c.Data, PublicKey.IDTag(), []byte(public)...)
	secret, err := a.do(ctx, what, c)
	if err != nil {
		return nil, err
	}
	if len(secret) != halfSize || allZero(secret) {
		return nil, what.failed(fmt.Errorf("the card answered %d bytes that are no shared secret: want %d", len(secret), halfSize))
	}
	return secret, nil
}

// KeyExchanger is an ecdh.KeyExchanger on P-256 whose private key stays in the SIM. It is
// safe for concurrent use.
type KeyExchanger struct {
	applet        *Applet
	ctx           context.Context
	private, peer ID
	public        *ecdh.PublicKey
}

var _ ecdh.KeyExchanger = (*KeyExchanger)(nil)

// KeyExchanger returns an ecdh.KeyExchanger for a private key and its public half, as
// [Applet.GenerateKeyPair] gives it. Peers' keys are put into the container peer. The
// interface has no place for a context: ctx bounds every exchange.
func (a *Applet) KeyExchanger(ctx context.Context, private, peer ID, public *ecdh.PublicKey) *KeyExchanger {
	return &KeyExchanger{applet: a, ctx: ctx, private: private, peer: peer, public: public}
}

// PublicKey is the public half of the SIM's key.
func (k *KeyExchanger) PublicKey() *ecdh.PublicKey { return k.public }

// Curve is P-256.
func (k *KeyExchanger) Curve() ecdh.Curve { return ecdh.P256() }

// ECDH puts the peer's public key into its container and makes the SIM agree with it. No
// command of ours comes between the two.
func (k *KeyExchanger) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	a, what := k.applet, Error{Op: opAgree, Kind: PrivateKey, ID: k.private}
	if peer == nil || peer.Curve() != ecdh.P256() {
		return nil, what.failed(errors.New("the peer's public key is not on P-256"))
	}
	data, err := putKeyData(k.peer, peer)
	if err != nil {
		return nil, what.failed(err)
	}
	if err := a.acquire(k.ctx); err != nil {
		return nil, what.failed(err)
	}
	defer a.release()
	if err := a.putPublicKey(k.ctx, Error{Op: opPut, Kind: PublicKey, ID: k.peer}, data); err != nil {
		return nil, err
	}
	return a.sharedSecret(k.ctx, what, k.peer)
}
