package conformance_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// premaster makes COMPUTE PRF form its secret in another way in one mode.
func premaster(mode byte, form func(psk, z []byte) []byte) fault {
	return around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS != computePRF || c.P1 != mode || !bytes.Equal(fieldOf(c.Data, 0x86), []byte(secretID)) {
			return right(ch, c)
		}
		formed := form([]byte(secret), fieldOf(c.Data, 0xD4))
		general := apdu.Command{CLA: c.CLA, INS: computePRF, Le: c.Le, Data: append([]byte{0xD1, byte(len(formed))}, formed...)}
		for _, tag := range []byte{0xD2, 0xD3} {
			v := fieldOf(c.Data, tag)
			general.Data = append(append(general.Data, tag, byte(len(v))), v...)
		}
		return right(ch, general)
	})
}

// without drops or changes a field of a command; nil drops it.
func withField(ins, tag byte, change func(v []byte) []byte) fault {
	return before(ins, func(c *apdu.Command) {
		fields, ok := tlvs(c.Data)
		if !ok {
			return
		}
		var out []byte
		for _, f := range fields {
			if f[0] == tag {
				v := change(bytes.Clone(f[2:]))
				if v == nil {
					continue
				}
				f = append([]byte{tag, byte(len(v))}, v...)
			}
			out = append(out, f...)
		}
		c.Data = out
	})
}

var prfMutants = []mutant{
	{"the premaster secret has no lengths", "3.15-psk", premaster(1, func(psk, _ []byte) []byte { return slices.Concat(make([]byte, len(psk)), psk) })},
	{"the premaster secret is the key itself", "3.15-psk", premaster(1, func(psk, _ []byte) []byte { return psk })},
	{"the premaster secret has the key in front", "3.15-psk", premaster(1, func(psk, _ []byte) []byte {
		n := []byte{0, byte(len(psk))}
		return slices.Concat(n, psk, n, make([]byte, len(psk)))
	})},
	{"the premaster secret has lengths of one byte", "3.15-psk", premaster(1, func(psk, _ []byte) []byte {
		n := []byte{byte(len(psk))}
		return slices.Concat(n, make([]byte, len(psk)), n, psk)
	})},
	{"the ECDHE secret stands behind the key", "3.15-psk-ecdhe", premaster(2, func(psk, z []byte) []byte {
		return slices.Concat([]byte{0, byte(len(psk))}, psk, []byte{0, byte(len(z))}, z)
	})},
	{"the ECDHE secret is ignored", "3.15-psk-ecdhe", premaster(2, func(psk, _ []byte) []byte {
		n := []byte{0, byte(len(psk))}
		return slices.Concat(n, make([]byte, len(psk)), n, psk)
	})},
	{"mode 02 is mode 01", "3.15-psk-consistent", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == computePRF && c.P1 == 2 {
			c.P1 = 1
			c.Data = append(bytes.Clone(c.Data[:3]), c.Data[37:]...)
		}
		return right(ch, c)
	})},
	{"in general mode a stored secret is no secret", "3.15-stored", premaster(0, func(psk, _ []byte) []byte { return make([]byte, len(psk)) })},
	{"the output ends at 48 bytes", "3.15-lengths", data(computePRF, func(b []byte) []byte { return b[:min(48, len(b))] })},
	{"the output comes in whole blocks", "3.15-lengths", withField(computePRF, 0xD3, func(v []byte) []byte {
		if len(v) == 1 && v[0] > 0 && v[0] < 224 {
			v[0] = (v[0] + 31) / 32 * 32
		}
		return v
	})},
	{"the seed comes before the label", "3.15-vectors", withField(computePRF, 0xD2, func(v []byte) []byte {
		return slices.Concat(v[min(10, len(v)):], v[:min(10, len(v))])
	})},
	{"the PRF is one HMAC", "3.15-vectors", after(computePRF, func(c apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.OK {
			h := hmac.New(sha256.New, fieldOf(c.Data, 0xD1))
			h.Write(fieldOf(c.Data, 0xD2))
			copy(r.Data, h.Sum(nil))
		}
		return r
	})},
	{"secrets longer than a block are cut", "3.15-secrets", withField(computePRF, 0xD1, func(v []byte) []byte { return v[:min(64, len(v))] })},
	{"the fields must be in order", "3.15-any-order", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == computePRF && len(c.Data) > 0 && c.Data[0] == 0xD3 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"Le on COMPUTE PRF is the length of the output", "3.15-le", after(computePRF, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.Le > 0 && r.SW == apdu.OK {
			r.Data = append(r.Data, make([]byte, c.Le-len(r.Data))...)
		}
		return r
	})},
	{"asking for nothing answers 256 bytes", "3.15-malformed", withField(computePRF, 0xD3, func(v []byte) []byte {
		if len(v) == 1 && v[0] == 0 {
			v[0] = 255
		}
		return v
	})},
	{"mode 03 is mode 00", "3.15-parameters", ignoresP1(computePRF, 0, 0, 1, 2)},
	{"an unknown secret answers 6985", "3.15-unknown", answers(computePRF, apdu.NotFound, apdu.ConditionsNot)},
	{"a secret that is not activated derives", "3.15-inactive", both(lie(iotsafe.SecretKey, "\x21", 0x4A, 0), hide(iotsafe.SecretKey, "\x22"))},
	{"a secret without the PRF computes it", "3.15-no-function", both(lie(iotsafe.SecretKey, "\x21", 0x94, 2), hide(iotsafe.SecretKey, "\x24"))},
	{"mode 02 needs no ECDHE secret", "3.15-mode-fields", before(computePRF, func(c *apdu.Command) {
		if c.P1 == 2 && fieldOf(c.Data, 0xD4) == nil && fieldOf(c.Data, 0x86) != nil {
			c.P1 = 1
		}
	})},
}

var hkdfMutants = []mutant{
	{"salt and secret are exchanged", "3.16-vectors", before(computeHKDF, func(c *apdu.Command) {
		for i := 0; i+1 < len(c.Data); i += 2 + int(c.Data[i+1]) {
			switch c.Data[i] {
			case 0xD1:
				c.Data[i] = 0xD5
			case 0xD5:
				c.Data[i] = 0xD1
			}
		}
	})},
	{"the salt is ignored", "3.16-vectors", withField(computeHKDF, 0xD5, func(v []byte) []byte { return make([]byte, len(v)) })},
	{"HKDF always uses SHA-256", "3.16-sha384", hashFor(computeHKDF, 2, 1)},
	{"HKDF answers 32 bytes at most", "3.16-sha512", data(computeHKDF, func(b []byte) []byte { return b[:min(32, len(b))] })},
	{"the secret is cut at a block", "3.16-sha256", withField(computeHKDF, 0xD1, func(v []byte) []byte { return v[:min(64, len(v))] })},
	{"a stored secret counts as empty", "3.16-stored", withField(computeHKDF, 0x86, func([]byte) []byte { return []byte("\x24") })},
	{"HKDF wants its fields in order", "3.16-any-order", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == computeHKDF && len(c.Data) > 0 && c.Data[0] == 0x91 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"a hash that does not exist is SHA-256", "3.16-malformed", hashFor(computeHKDF, 8, 1)},
	{"P2 of COMPUTE HKDF is ignored", "3.16-parameters", ignoresP2(computeHKDF)},
	{"HKDF with an unknown secret answers 6A80", "3.16-unknown", answers(computeHKDF, apdu.NotFound, apdu.WrongData)},
	{"a secret that is not activated extracts", "3.16-inactive", both(lie(iotsafe.SecretKey, "\x21", 0x4A, 0), hide(iotsafe.SecretKey, "\x22"))},
	{"a secret without HKDF computes it", "3.16-no-function", both(lie(iotsafe.SecretKey, "\x21", 0x94, 1), hide(iotsafe.SecretKey, "\x23"))},
	{"every extraction gives another key", "3.16-stored-consistent", data(computeHKDF, func(b []byte) []byte { rand.Read(b); return b })},
}

var rsaMutants = []mutant{
	{"an RSA signature has a length of one byte", "3.13-rsa-pkcs1", data(signUpdate, func(b []byte) []byte {
		if len(b) == 259 {
			return append([]byte{0x33, 0x00}, b[3:]...)
		}
		return b
	})},
	{"PSS has no salt", "3.13-rsa-pss", func(w *wrong) {
		var digest []byte
		pss := false
		before(signInit, func(c *apdu.Command) { pss = bytes.HasSuffix(c.Data, []byte{0x92, 1, 2}) })(w)
		digests(func(d []byte) []byte { digest = d; return d })(w)
		data(signUpdate, func(b []byte) []byte {
			if len(b) != 259 || !pss {
				return b
			}
			s, err := rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: 0, Hash: crypto.SHA256})
			if err != nil {
				panic(err)
			}
			return append(b[:3:3], s...)
		})(w)
	}},
	{"an answer over 256 bytes is cut", "3.13-rsa-response", data(signUpdate, func(b []byte) []byte { return b[:min(256, len(b))] })},
	{"an RSA key makes an ECDSA signature", "3.13-rsa-no-ecdsa", before(signInit, func(c *apdu.Command) {
		if bytes.HasPrefix(c.Data, []byte{0x84, 1, 0x0E}) {
			c.Data[len(c.Data)-1] = 1
		}
	})},
	{"a short RSA signature is accepted", "3.14-rsa", after(verifyUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if len(c.Data) == 34+67 {
			r.SW = apdu.OK
		}
		return r
	})},
}
