package iotsafe

import (
	"context"
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// Instructions of key derivation.
const (
	insComputePRF  = 0x48
	insComputeHKDF = 0x4A
)

// Modes of COMPUTE PRF, in P1.
const (
	prfGeneral  = 0x00
	prfPSK      = 0x01
	prfPSKECDHE = 0x02
)

// MaxPRF is the most bytes that one [Applet.PRF] returns.
const MaxPRF = 255

// PRF computes n bytes of the pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246,
// clause 5), in the SIM, from a secret that the caller has.
func (a *Applet) PRF(ctx context.Context, secret []byte, label string, seed []byte, n int) ([]byte, error) {
	what := Error{Op: opDerive}
	return a.prf(ctx, what, prfGeneral, tlv.AppendSimple(nil, TagSecret, secret...), label, seed, n)
}

// PRFSecret is [Applet.PRF] with a secret of the SIM as it is.
func (a *Applet) PRFSecret(ctx context.Context, id ID, label string, seed []byte, n int) ([]byte, error) {
	what := Error{Op: opDerive, Kind: SecretKey, ID: id}
	return a.prf(ctx, what, prfGeneral, secretName(id), label, seed, n)
}

// PRFPSK is [Applet.PRF] with the premaster secret of a plain PSK handshake (RFC 4279,
// clause 2), which the SIM forms from a secret of its own.
func (a *Applet) PRFPSK(ctx context.Context, psk ID, label string, seed []byte, n int) ([]byte, error) {
	what := Error{Op: opDerive, Kind: SecretKey, ID: psk}
	return a.prf(ctx, what, prfPSK, secretName(psk), label, seed, n)
}

// PRFPSKECDHE is [Applet.PRF] with the premaster secret of an ECDHE_PSK handshake (RFC
// 5489, clause 2), which the SIM forms from the shared secret z and a secret of its own.
func (a *Applet) PRFPSKECDHE(ctx context.Context, psk ID, z []byte, label string, seed []byte, n int) ([]byte, error) {
	what := Error{Op: opDerive, Kind: SecretKey, ID: psk}
	fields := tlv.AppendSimple(secretName(psk), TagOtherSecret, z...)
	return a.prf(ctx, what, prfPSKECDHE, fields, label, seed, n)
}

func secretName(id ID) []byte { return tlv.AppendSimple(nil, SecretKey.IDTag(), []byte(id)...) }

func (a *Applet) prf(ctx context.Context, what Error, mode byte, fields []byte, label string, seed []byte, n int) ([]byte, error) {
	if what.Kind != 0 {
		if err := what.ID.Check(); err != nil {
			return nil, what.failed(err)
		}
	}
	if n < 1 || n > MaxPRF {
		return nil, what.failed(fmt.Errorf("%d bytes: want 1 to %d", n, MaxPRF))
	}
	fields = tlv.AppendSimple(fields, TagSeed, append([]byte(label), seed...)...)
	fields = tlv.AppendSimple(fields, TagLength, byte(n))
	return a.derive(ctx, what, apdu.Command{INS: insComputePRF, P1: mode, Data: fields}, n)
}

// HKDFExtract is HKDF-Extract (RFC 5869, clause 2.2) in the SIM, with keying material
// that the caller has. Without salt or material, zeros of the hash's size are sent, as TLS
// 1.3 has it: some applets refuse empty fields.
func (a *Applet) HKDFExtract(ctx context.Context, h Hash, material, salt []byte) ([]byte, error) {
	what := Error{Op: opDerive}
	if err := h.check(); err != nil {
		return nil, what.failed(err)
	}
	return a.extract(ctx, what, h, tlv.AppendSimple(nil, TagSecret, orZeros(h, material)...), salt)
}

// HKDFExtractSecret is [Applet.HKDFExtract] with a secret of the SIM as keying material:
// with zeros for salt, the early secret of a TLS 1.3 handshake with that PSK.
func (a *Applet) HKDFExtractSecret(ctx context.Context, h Hash, id ID, salt []byte) ([]byte, error) {
	what := Error{Op: opDerive, Kind: SecretKey, ID: id}
	err := h.check()
	if err == nil {
		err = id.Check()
	}
	if err != nil {
		return nil, what.failed(err)
	}
	return a.extract(ctx, what, h, secretName(id), salt)
}

func (a *Applet) extract(ctx context.Context, what Error, h Hash, fields, salt []byte) ([]byte, error) {
	fields = tlv.AppendSimple(fields, TagSalt, orZeros(h, salt)...)
	fields = tlv.AppendSimple(fields, TagHashes, byte(h>>8), byte(h))
	return a.derive(ctx, what, apdu.Command{INS: insComputeHKDF, Data: fields}, h.Func().Size())
}

func orZeros(h Hash, b []byte) []byte {
	if len(b) == 0 {
		return make([]byte, h.Func().Size())
	}
	return b
}

// derive carries out a command that must answer n bytes.
func (a *Applet) derive(ctx context.Context, what Error, c apdu.Command, n int) ([]byte, error) {
	if len(c.Data) > apdu.MaxData {
		return nil, what.failed(fmt.Errorf("secret, label and seed need %d bytes: a command carries %d", len(c.Data), apdu.MaxData))
	}
	c.Le = apdu.MaxLe
	b, err := a.call(ctx, what, c)
	if err != nil {
		return nil, err
	}
	if len(b) != n {
		return nil, what.failed(fmt.Errorf("the card answered %d bytes: want %d", len(b), n))
	}
	return b, nil
}
