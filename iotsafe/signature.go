package iotsafe

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/simroot/simroot/tlv"
)

// Sizes of signatures, in bytes.
const (
	halfSize         = 32 // of r and of s
	signatureSize    = 2 * halfSize
	rsaSignatureSize = 256

	// maxDigest is the most that the command's digest field takes.
	maxDigest = 64
)

// Scheme is a signature algorithm together with its hash function.
type Scheme struct {
	Algorithm SignatureAlgorithm
	Hash      Hash
}

// ECDSAWithSHA256 is the scheme that every Type I applet has.
var ECDSAWithSHA256 = Scheme{ECDSA, SHA256}

func (s Scheme) signatureSize() int {
	if s.Algorithm == ECDSA {
		return signatureSize
	}
	return rsaSignatureSize
}

func (s Scheme) check() error {
	switch s.Algorithm {
	case ECDSA, RSAPKCS1v15, RSAPSS:
	default:
		return fmt.Errorf("signature algorithm %02X: want one of RSA PKCS#1 v1.5, RSA-PSS, ECDSA", byte(s.Algorithm))
	}
	return s.Hash.check()
}

func (h Hash) check() error {
	if h.Func() == 0 {
		return fmt.Errorf("hash function %04X: want one of SHA-256, SHA-384, SHA-512", uint16(h))
	}
	return nil
}

// parameters is the data of COMPUTE SIGNATURE INIT and VERIFY SIGNATURE INIT.
func (s Scheme) parameters(kind Kind, id ID, mode Mode) []byte {
	b := make([]byte, 0, 32)
	b = tlv.AppendSimple(b, kind.IDTag(), []byte(id)...)
	b = tlv.AppendSimple(b, TagMode, byte(mode))
	b = tlv.AppendSimple(b, TagHashes, byte(s.Hash>>8), byte(s.Hash))
	return tlv.AppendSimple(b, TagSignatures, byte(s.Algorithm))
}

// digestField is tag 9E for a digest that belongs to the scheme. A digest that is longer
// than an elliptic curve's key is truncated and called SHA-256, since cards differ in what
// they think of one, and many know no other hash.
func (s Scheme) digestField(digest []byte) (Scheme, []byte, error) {
	if s.Algorithm == ECDSA {
		if len(digest) < halfSize || len(digest) > maxDigest {
			return s, nil, fmt.Errorf("a digest of %d bytes: want %d to %d", len(digest), halfSize, maxDigest)
		}
		digest, s.Hash = digest[:halfSize], SHA256
	}
	if err := s.check(); err != nil {
		return s, nil, err
	}
	if s.Algorithm != ECDSA && len(digest) != s.Hash.Func().Size() {
		return s, nil, fmt.Errorf("a digest of %d bytes: %s has %d", len(digest), s.Hash.Func(), s.Hash.Func().Size())
	}
	return s, tlv.AppendSimple(make([]byte, 0, 2+maxDigest), TagDigest, digest...), nil
}

// Sign makes the applet sign a digest of 32 to 64 bytes with a key on an elliptic curve,
// and returns r and s, 32 bytes each. A longer digest counts with its first 32 bytes, as
// ECDSA has it.
//
// A signature takes exactly two commands. The session that they form ends with the
// second; it is closed by a third only if something went wrong in between.
func (a *Applet) Sign(ctx context.Context, private ID, digest []byte) ([]byte, error) {
	signature, _, err := a.sign(ctx, private, ECDSAWithSHA256, digest)
	return signature, err
}

// SignDigest is [Applet.Sign] for any scheme. An RSA signature has 256 bytes, and its
// digest the size of the scheme's hash; the salt of RSA-PSS has that size too.
func (a *Applet) SignDigest(ctx context.Context, private ID, s Scheme, digest []byte) ([]byte, error) {
	signature, _, err := a.sign(ctx, private, s, digest)
	return signature, err
}

// sign is SignDigest, and tells the [Applet.Generation] that the signature belongs to.
func (a *Applet) sign(ctx context.Context, private ID, s Scheme, digest []byte) (signature []byte, generation uint64, err error) {
	what := Error{Op: opSign, Kind: PrivateKey, ID: private}
	s, field, err := s.digestField(digest)
	if err != nil {
		return nil, 0, what.failed(err)
	}
	return a.signature(ctx, what, s, PadAndSign, field)
}

// SignText makes the applet hash and sign a text (operation mode 01), which goes to the
// SIM as a whole. Keys that are meant for the CertificateVerify of TLS sign in this mode
// only, and no text but such a one.
func (a *Applet) SignText(ctx context.Context, private ID, s Scheme, text []byte) ([]byte, error) {
	what := Error{Op: opSign, Kind: PrivateKey, ID: private}
	field, err := textField(text)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, what.failed(err)
	}
	signature, _, err := a.signature(ctx, what, s, FullText, field)
	return signature, err
}

// Tail is what is left to hash of a text, and the state of the hash before it.
type Tail struct {
	Block []byte // at most 128 bytes
	State []byte // 32 bytes for SHA-256, 64 for SHA-384 and SHA-512

	// Hashed is the number of bytes that State stands for, whole blocks of the hash.
	Hashed uint32
}

// SignTail makes the applet finish a hash and sign it (operation mode 02, "last block").
func (a *Applet) SignTail(ctx context.Context, private ID, s Scheme, tail Tail) ([]byte, error) {
	what := Error{Op: opSign, Kind: PrivateKey, ID: private}
	if err := s.check(); err != nil {
		return nil, what.failed(err)
	}
	field := tlv.AppendSimple(nil, TagLastBlock, tail.Block...)
	field = tlv.AppendSimple(field, TagIntermediate, tail.State...)
	n := tail.Hashed
	field = tlv.AppendSimple(field, TagHashed, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	signature, _, err := a.signature(ctx, what, s, LastBlock, field)
	return signature, err
}

// maxText is what the length of tag 9B can say.
const maxText = 0xFFFFFF

// textField is tag 9B with the length form that is taken for the specified one: three
// bytes that count the whole text, however many commands it takes.
func textField(text []byte) ([]byte, error) {
	n := len(text)
	if n > maxText {
		return nil, fmt.Errorf("a text of %d bytes: want at most %d; give a digest", n, maxText)
	}
	b := append(make([]byte, 0, 4+n), TagFullText, byte(n>>16), byte(n>>8), byte(n))
	return append(b, text...), nil
}

// signature is one session of COMPUTE SIGNATURE.
func (a *Applet) signature(ctx context.Context, what Error, s Scheme, mode Mode, data []byte) ([]byte, uint64, error) {
	if err := what.ID.Check(); err != nil {
		return nil, 0, what.failed(err)
	}
	if err := a.acquire(ctx); err != nil {
		return nil, 0, what.failed(err)
	}
	defer a.release()
	answer, err := a.session(ctx, what, signSession, s.parameters(PrivateKey, what.ID, mode), data)
	if err != nil {
		return nil, 0, err
	}
	signature, err := parseSignature(answer, s.signatureSize())
	if err != nil {
		a.endSession(ctx, signSession)
		return nil, 0, what.failed(err)
	}
	return signature, a.generation.Load(), nil
}

// parseSignature reads signature data (tag 33) in all forms found in the field: a length
// of two bytes, one byte or 81 and one byte; r and s of 32 bytes each, or DER. An RSA
// signature has one form only.
func parseSignature(b []byte, size int) ([]byte, error) {
	if len(b) == 0 {
		return nil, errNoData
	}
	content, ok := signatureContent(b)
	switch {
	case !ok:
		return nil, fmt.Errorf("the card's answer of %d bytes is no signature", len(b))
	case len(content) == size:
		return content, nil
	case size == signatureSize && len(content) > 0 && content[0] == 0x30:
		raw, err := rawSignature(content)
		if err != nil {
			return nil, fmt.Errorf("the card's signature: %w", err)
		}
		return raw, nil
	}
	return nil, fmt.Errorf("the card's signature has %d bytes: want %d", len(content), size)
}

// signatureContent takes the length form that fits the bytes present; no two can.
func signatureContent(b []byte) ([]byte, bool) {
	if b[0] != TagSignature || len(b) < 3 {
		return nil, false
	}
	switch n := len(b); {
	case int(b[1])<<8|int(b[2]) == n-3, b[1] == 0x81 && int(b[2]) == n-3:
		return b[3:], true
	case int(b[1]) == n-2:
		return b[2:], true
	}
	return nil, false
}

// rawSignature turns a DER signature into r and s of fixed width.
func rawSignature(der []byte) ([]byte, error) {
	var v struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &v)
	if err != nil || len(rest) > 0 {
		return nil, errors.New("it is not well-formed DER")
	}
	if v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > 8*halfSize || v.S.BitLen() > 8*halfSize {
		return nil, errors.New("it is out of range for P-256")
	}
	raw := make([]byte, signatureSize)
	v.R.FillBytes(raw[:halfSize])
	v.S.FillBytes(raw[halfSize:])
	return raw, nil
}

// derSignature turns r and s of fixed width into DER.
func derSignature(raw []byte) []byte {
	der := make([]byte, 2, signatureSize+8)
	der = appendInteger(der, raw[:halfSize])
	der = appendInteger(der, raw[halfSize:])
	der[0], der[1] = 0x30, byte(len(der)-2)
	return der
}

// appendInteger adds an unsigned big-endian number as an ASN.1 INTEGER.
func appendInteger(dst, n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	if n[0]&0x80 != 0 {
		dst = append(dst, 0x02, byte(len(n)+1), 0x00)
	} else {
		dst = append(dst, 0x02, byte(len(n)))
	}
	return append(dst, n...)
}
