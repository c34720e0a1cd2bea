package iotsafe

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// Instructions for signatures.
const (
	insSignInit   = 0x2A
	insSignUpdate = 0x2B
)

// Parameters of signature commands.
const (
	closeSession = 0x01 // P1 of INIT
	lastUpdate   = 0x80 // P1 of UPDATE

	// signSession is the session number (P2). The channel is ours alone, and so is
	// its space of numbers.
	signSession = 0x01
)

// Sizes of P-256 signatures, in bytes.
const (
	halfSize      = 32
	signatureSize = 2 * halfSize

	// maxDigest is the most that the command's digest field takes.
	maxDigest = 64
)

// Sign makes the applet sign a digest of 32 to 64 bytes with a P-256 key, and returns r
// and s, 32 bytes each. A longer digest counts with its first 32 bytes, as ECDSA has it.
//
// A signature takes exactly two commands. The session that they form ends with the
// second; it is closed by a third only if something went wrong in between.
func (a *Applet) Sign(ctx context.Context, private ID, digest []byte) ([]byte, error) {
	signature, _, err := a.sign(ctx, private, digest)
	return signature, err
}

// sign is Sign, and tells the [Applet.Generation] that the signature belongs to.
func (a *Applet) sign(ctx context.Context, private ID, digest []byte) (signature []byte, generation uint64, err error) {
	what := Error{Op: opSign, Kind: PrivateKey, ID: private}
	if err := private.Check(); err != nil {
		return nil, 0, what.failed(err)
	}
	if len(digest) < halfSize || len(digest) > maxDigest {
		return nil, 0, what.failed(fmt.Errorf("a digest of %d bytes: want %d to %d", len(digest), halfSize, maxDigest))
	}
	// Truncated here, and called SHA-256, since cards differ in what they think of a
	// digest that is longer than the key, and many know no other hash.
	digest = digest[:halfSize]

	if err := a.acquire(ctx); err != nil {
		return nil, 0, what.failed(err)
	}
	defer a.release()
	signature, err = a.session(ctx, what, digest)
	if err != nil {
		a.endSession(ctx)
		return nil, 0, err
	}
	return signature, a.generation.Load(), nil
}

// session is the two commands of a signature.
func (a *Applet) session(ctx context.Context, what Error, digest []byte) ([]byte, error) {
	init := make([]byte, 0, 32)
	init = tlv.AppendSimple(init, PrivateKey.IDTag(), []byte(what.ID)...)
	init = tlv.AppendSimple(init, TagMode, byte(PadAndSign))
	init = tlv.AppendSimple(init, TagHashes, byte(SHA256>>8), byte(SHA256))
	init = tlv.AppendSimple(init, TagSignatures, byte(ECDSA))
	if _, err := a.do(ctx, what, apdu.Command{INS: insSignInit, P2: signSession, Data: init}); err != nil {
		return nil, err
	}
	answer, err := a.do(ctx, what, apdu.Command{
		INS: insSignUpdate, P1: lastUpdate, P2: signSession,
		Data: tlv.AppendSimple(nil, TagDigest, digest...), Le: apdu.MaxLe,
	})
	if err != nil {
		return nil, err
	}
	signature, err := parseSignature(answer)
	if err != nil {
		return nil, what.failed(err)
	}
	return signature, nil
}

// endSession closes the session after a failure, even if ctx has ended. What the card
// says to it does not matter: there may be no session.
func (a *Applet) endSession(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	a.send(ctx, apdu.Command{INS: insSignInit, P1: closeSession, P2: signSession})
}

// parseSignature reads signature data (tag 33) in all forms found in the field: a length
// of two bytes, one byte or 81 and one byte; r and s of 32 bytes each, or DER.
func parseSignature(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errNoData
	}
	content, ok := signatureContent(b)
	switch {
	case !ok:
		return nil, fmt.Errorf("the card's answer of %d bytes is no signature", len(b))
	case len(content) == signatureSize:
		return content, nil
	case len(content) > 0 && content[0] == 0x30:
		return rawSignature(content)
	}
	return nil, fmt.Errorf("the card's signature has %d bytes: want %d", len(content), signatureSize)
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
		return nil, errors.New("the card's signature is not well-formed DER")
	}
	if v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > 8*halfSize || v.S.BitLen() > 8*halfSize {
		return nil, errors.New("the card's signature is out of range for P-256")
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
