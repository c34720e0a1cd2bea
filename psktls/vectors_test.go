package psktls

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func is(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(want)) {
		t.Errorf("%s is\n%x, want\n%s", what, got, want)
	}
}

// The vectors that the TLS working group's list has agreed on for P_SHA256 and P_SHA384.
func TestPRFVectors(t *testing.T) {
	is(t, "PRF with SHA-256", prf(crypto.SHA256, unhex("9bbe436ba940f017b17652849a71db35"), "test label", unhex("a0ba9f936cda311827a6f796ffd5198c"), 100),
		"e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66")
	is(t, "PRF with SHA-384", prf(crypto.SHA384, unhex("b80b733d6ceefcdc71566ea48e5567df"), "test label", unhex("cd665cf6a8447dd6ff8b27555edb7465"), 148),
		"7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f")
}

// RFC 4279, 2 and RFC 5489, 2, spelled out.
func TestPremasterSecrets(t *testing.T) {
	is(t, "PSK", premaster([]byte("abc"), nil), "0003 000000 0003 616263")
	is(t, "ECDHE_PSK", premaster([]byte("abc"), unhex("00112233")), "0004 00112233 0003 616263")
	is(t, "ECDHE_PSK with an empty secret", premaster([]byte("abc"), []byte{}), "0000 0003 616263")
	got, err := SecretKey([]byte("abc")).MasterSecret(t.Context(), crypto.SHA256, nil, "master secret", []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	is(t, "master secret", got, hex.EncodeToString(prf(crypto.SHA256, unhex("00030000000003616263"), "master secret", []byte("seed"), 48)))
}

func TestKeysRefuseWhatTheyCannotDo(t *testing.T) {
	if _, err := SecretKey(nil).EarlySecret(t.Context(), crypto.SHA256); err == nil {
		t.Error("an empty key works")
	}
	if _, err := SecretKey([]byte("abc")).EarlySecret(t.Context(), crypto.SHA1); err == nil {
		t.Error("SHA-1 works")
	}
	if _, err := SecretKey([]byte("abc")).MasterSecret(t.Context(), crypto.SHA256, make([]byte, 1<<16), "l", nil); err == nil {
		t.Error("an ECDH result of 64 KiB works")
	}
}

// RFC 8448, 3: a handshake without PSK, whose early secret is that of a PSK of zeros.
func TestKeyScheduleOfRFC8448(t *testing.T) {
	early, err := SecretKey(make([]byte, 32)).EarlySecret(t.Context(), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := noPSK(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "early secret without a PSK", s.secret, hex.EncodeToString(early))
	is(t, "early secret", early, "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
	is(t, "derived", s.salt(), "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba")
	key, err := ecdh.X25519().NewPrivateKey(unhex("49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005"))
	if err != nil {
		t.Fatal(err)
	}
	s.secret, err = memoryKey{key}.HandshakeSecret(t.Context(), crypto.SHA256, s.salt(), unhex("c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f"))
	if err != nil {
		t.Fatal(err)
	}
	is(t, "handshake secret", s.secret, "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")
	hello := unhex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8")
	client, server := s.derive("c hs traffic", hello), s.derive("s hs traffic", hello)
	is(t, "client's traffic secret", client, "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21")
	is(t, "server's traffic secret", server, "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
	is(t, "server's key", expandLabel(crypto.SHA256, server, "key", nil, 16), "3fce516009c21727d0f2e4e86ee403bc")
	is(t, "server's iv", expandLabel(crypto.SHA256, server, "iv", nil, 12), "5d313eb2671276ee13000b30")
	if err := s.advance(); err != nil {
		t.Fatal(err)
	}
	is(t, "master secret", s.secret, "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919")
	serverDone := unhex("9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13")
	is(t, "client's application secret", s.derive("c ap traffic", serverDone), "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
	is(t, "server's application secret", s.derive("s ap traffic", serverDone), "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
	is(t, "exporter master secret", s.derive("exp master", serverDone), "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50")

	// The client's Finished, and the record that carries it.
	verify := finishedMAC(crypto.SHA256, client, serverDone)
	is(t, "client's Finished", verify, "a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61")
	p, err := protect13(suiteByID(TLS_AES_128_GCM_SHA256), client)
	if err != nil {
		t.Fatal(err)
	}
	message, err := encode(finished{verify})
	if err != nil {
		t.Fatal(err)
	}
	record, err := p.seal(nil, recordHandshake, message)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "its record", record, "1703030035 75ec4dc238cce60b298044a71e219c56cc77b0517fe9b93c7a4bfc44d87f38f80338ac98fc46deb384bd1caeacab6867d726c40546")
}

// NIST SP 800-38C, C.3: the example with a nonce of 12 bytes.
func TestCCMOfSP80038C(t *testing.T) {
	aead, err := newCCM(unhex("404142434445464748494a4b4c4d4e4f"), 8)
	if err != nil {
		t.Fatal(err)
	}
	nonce, additional := unhex("101112131415161718191a1b"), unhex("000102030405060708090a0b0c0d0e0f10111213")
	plain := unhex("202122232425262728292a2b2c2d2e2f3031323334353637")
	sealed := aead.Seal(nil, nonce, plain, additional)
	is(t, "ciphertext", sealed, "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951")
	got, err := aead.Open(nil, nonce, sealed, additional)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%x, %v", got, err)
	}
}

func TestCCMDetectsEveryFlippedBit(t *testing.T) {
	for _, size := range []int{8, 16} {
		for _, n := range []int{0, 1, 15, 16, 17, 33} {
			aead, err := newCCM(make([]byte, 16), size)
			if err != nil {
				t.Fatal(err)
			}
			nonce, additional, plain := make([]byte, 12), make([]byte, 13), bytes.Repeat([]byte{7}, n)
			sealed := aead.Seal(nil, nonce, plain, additional)
			if got, err := aead.Open(bytes.Clone(sealed)[:0], nonce, sealed, additional); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			for bit := range len(sealed) * 8 {
				bad := bytes.Clone(sealed)
				bad[bit/8] ^= 1 << (bit % 8)
				if _, err := aead.Open(bad[:0], nonce, bad, additional); err == nil {
					t.Fatalf("tag of %d, %d bytes: bit %d goes unnoticed", size, n, bit)
				}
				if n > 0 && !bytes.Equal(bad[:n], make([]byte, n)) {
					t.Fatal("what is not authentic is left in memory")
				}
			}
			if _, err := aead.Open(nil, nonce, sealed[:size-1], additional); err == nil {
				t.Error("less than a tag is taken")
			}
		}
	}
}
