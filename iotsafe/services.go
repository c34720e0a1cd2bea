package iotsafe

import (
	"context"
	"errors"
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// p1Services asks GET DATA for the services beyond IoT.05.
const p1Services = 0xF0

// tagMaxText is the most bytes that one encryption or decryption takes.
const tagMaxText byte = 0xB8

// Services tells what an applet offers beyond IoT.05: simroot's own commands for hashing,
// encryption and decryption (docs/applet.md). Most applets offer nothing.
type Services struct {
	Version byte // 0: nothing
	Hashes  Hash
	Ciphers Cipher

	// MaxText is the most bytes that can be enciphered at once.
	MaxText int
}

// Append adds the encoding to dst.
func (s Services) Append(dst []byte) []byte {
	dst = tlv.AppendSimple(dst, tagVersion, s.Version)
	dst = tlv.AppendSimple(dst, TagHashes, byte(s.Hashes>>8), byte(s.Hashes))
	dst = tlv.AppendSimple(dst, TagCiphers, byte(s.Ciphers))
	return tlv.AppendSimple(dst, tagMaxText, byte(s.MaxText>>8), byte(s.MaxText))
}

// ParseServices reads what [Services.Append] writes; unknown parts are passed over.
func ParseServices(b []byte) (Services, error) {
	parts, err := tlv.ParseSimple(b)
	if err != nil {
		return Services{}, fmt.Errorf("iotsafe: services: %w", err)
	}
	var s Services
	for _, p := range parts {
		n := number(p.Value)
		switch byte(p.Tag) {
		case tagVersion:
			s.Version = byte(n)
		case TagHashes:
			s.Hashes = Hash(n)
		case TagCiphers:
			s.Ciphers = Cipher(n)
		case tagMaxText:
			s.MaxText = n
		}
	}
	return s, nil
}

// Services asks what the applet offers beyond IoT.05. An applet that does not know the
// question offers nothing, which is no error.
func (a *Applet) Services(ctx context.Context) (Services, error) {
	what := Error{Op: opServices}
	b, err := a.call(ctx, what, apdu.Command{INS: insGetData, P1: p1Services, Le: apdu.MaxLe})
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		return Services{}, nil
	case err != nil:
		return Services{}, err
	}
	s, err := ParseServices(b)
	if err != nil {
		return Services{}, what.failed(err)
	}
	return s, nil
}

// Digest makes the applet hash a text.
func (a *Applet) Digest(ctx context.Context, h Hash, text []byte) ([]byte, error) {
	what := Error{Op: opHash}
	if err := h.check(); err != nil {
		return nil, what.failed(err)
	}
	digest, err := a.serve(ctx, what, hashSession, tlv.AppendSimple(nil, TagHashes, byte(h>>8), byte(h)), text)
	if err == nil && len(digest) != h.Func().Size() {
		return nil, what.failed(fmt.Errorf("the card answered %d bytes: %s has %d", len(digest), h.Func(), h.Func().Size()))
	}
	return digest, err
}

// Encrypt makes the applet encipher a text with an AES secret of its own, under a nonce
// that it draws itself. What comes back is nonce, ciphertext and tag. The additional data
// is authenticated and not part of it.
func (a *Applet) Encrypt(ctx context.Context, id ID, c Cipher, text, additional []byte) ([]byte, error) {
	what := Error{Op: opEncrypt, Kind: SecretKey, ID: id}
	parameters, err := cipherParameters(SecretKey, id, c, additional)
	if err != nil {
		return nil, what.failed(err)
	}
	sealed, err := a.serve(ctx, what, encryptSession, parameters, text)
	if err == nil && len(sealed) != NonceSize+len(text)+CipherTagSize {
		return nil, what.failed(fmt.Errorf("the card answered %d bytes for a text of %d", len(sealed), len(text)))
	}
	return sealed, err
}

// Decrypt is the reverse of [Applet.Encrypt]. What was not enciphered so is refused, with
// an error that wraps [apdu.WrongData].
func (a *Applet) Decrypt(ctx context.Context, id ID, c Cipher, sealed, additional []byte) ([]byte, error) {
	what := Error{Op: opDecrypt, Kind: SecretKey, ID: id}
	parameters, err := cipherParameters(SecretKey, id, c, additional)
	if err == nil && len(sealed) < NonceSize+CipherTagSize {
		err = fmt.Errorf("%d bytes: nonce and tag alone have %d", len(sealed), NonceSize+CipherTagSize)
	}
	if err != nil {
		return nil, what.failed(err)
	}
	return a.serve(ctx, what, decryptSession, parameters, sealed)
}

// DecryptOAEP makes the applet decipher RSA-OAEP (RFC 8017, clause 7.1) with a private key
// of its own. The label's hash and that of MGF1 are h.
func (a *Applet) DecryptOAEP(ctx context.Context, private ID, h Hash, ciphertext, label []byte) ([]byte, error) {
	what := Error{Op: opDecrypt, Kind: PrivateKey, ID: private}
	parameters, err := cipherParameters(PrivateKey, private, RSAOAEP, label)
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return nil, what.failed(err)
	}
	parameters = tlv.AppendSimple(parameters, TagHashes, byte(h>>8), byte(h))
	return a.serve(ctx, what, decryptSession, parameters, ciphertext)
}

func cipherParameters(kind Kind, id ID, c Cipher, additional []byte) ([]byte, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	b := tlv.AppendSimple(nil, kind.IDTag(), []byte(id)...)
	b = tlv.AppendSimple(b, TagCiphers, byte(c))
	if len(additional) > 0 {
		b = tlv.AppendSimple(b, TagAdditional, additional...)
	}
	return b, nil
}

// serve is one session of a service that takes plain bytes.
func (a *Applet) serve(ctx context.Context, what Error, s service, parameters, text []byte) ([]byte, error) {
	if err := a.acquire(ctx); err != nil {
		return nil, what.failed(err)
	}
	defer a.release()
	return a.session(ctx, what, s, parameters, text)
}
