package psktls

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// Cipher suites, as their registry names them. Those of TLS 1.2 with PSK in place of
// ECDHE_PSK have no forward secrecy and need [Config.AllowPSKOnly].
const (
	TLS_PSK_WITH_AES_128_GCM_SHA256             uint16 = 0x00A8 // RFC 5487
	TLS_PSK_WITH_AES_256_GCM_SHA384             uint16 = 0x00A9 // RFC 5487
	TLS_PSK_WITH_AES_128_CCM                    uint16 = 0xC0A4 // RFC 6655
	TLS_PSK_WITH_AES_128_CCM_8                  uint16 = 0xC0A8 // RFC 6655
	TLS_PSK_WITH_CHACHA20_POLY1305_SHA256       uint16 = 0xCCAB // RFC 7905
	TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 uint16 = 0xCCAC // RFC 7905
	TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256       uint16 = 0xD001 // RFC 8442
	TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384       uint16 = 0xD002 // RFC 8442
	TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256     uint16 = 0xD003 // RFC 8442
	TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256       uint16 = 0xD005 // RFC 8442

	TLS_AES_128_GCM_SHA256       uint16 = 0x1301 // RFC 8446
	TLS_AES_256_GCM_SHA384       uint16 = 0x1302 // RFC 8446
	TLS_CHACHA20_POLY1305_SHA256 uint16 = 0x1303 // RFC 8446
	TLS_AES_128_CCM_SHA256       uint16 = 0x1304 // RFC 8446
	TLS_AES_128_CCM_8_SHA256     uint16 = 0x1305 // RFC 8446
)

// Signalling values in the list of cipher suites.
const (
	scsvRenegotiation uint16 = 0x00FF // RFC 5746, 3.3
	scsvFallback      uint16 = 0x5600 // RFC 7507
)

// suite is what a cipher suite stands for. It knows nothing of records: DTLS shares it.
type suite struct {
	id      uint16
	name    string
	version uint16 // the one version it belongs to
	ecdhe   bool   // ECDHE_PSK; of no meaning in TLS 1.3
	hash    crypto.Hash
	aead    *aeadKind
}

// aeadKind is one AEAD algorithm as TLS uses it.
type aeadKind struct {
	keyLen int
	// explicit is the number of nonce bytes that travel with each record of TLS 1.2: 8 for
	// GCM (RFC 5288, 3) and CCM (RFC 6655, 3), none for ChaCha20-Poly1305 (RFC 7905, 2).
	explicit int
	overhead int // bytes of the tag
	new      func(key []byte) (cipher.AEAD, error)
}

// nonceLen is the length of the nonce of every AEAD here.
const nonceLen = 12

var (
	aes128GCM  = &aeadKind{16, 8, 16, newGCM}
	aes256GCM  = &aeadKind{32, 8, 16, newGCM}
	aes128CCM  = &aeadKind{16, 8, 16, func(key []byte) (cipher.AEAD, error) { return newCCM(key, 16) }}
	aes128CCM8 = &aeadKind{16, 8, 8, func(key []byte) (cipher.AEAD, error) { return newCCM(key, 8) }}
	chacha20   = &aeadKind{32, 0, 16, chacha20poly1305.New}
)

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// suites are all suites in the order of preference: forward secrecy first, then speed.
// CCM_8 is last of its kind: its short tag is for lines where eight bytes count.
var suites = []*suite{
	{TLS_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", VersionTLS13, true, crypto.SHA256, aes128GCM},
	{TLS_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", VersionTLS13, true, crypto.SHA384, aes256GCM},
	{TLS_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", VersionTLS13, true, crypto.SHA256, chacha20},
	{TLS_AES_128_CCM_SHA256, "TLS_AES_128_CCM_SHA256", VersionTLS13, true, crypto.SHA256, aes128CCM},
	{TLS_AES_128_CCM_8_SHA256, "TLS_AES_128_CCM_8_SHA256", VersionTLS13, true, crypto.SHA256, aes128CCM8},

	{TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256, "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256", VersionTLS12, true, crypto.SHA256, aes128GCM},
	{TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384, "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384", VersionTLS12, true, crypto.SHA384, aes256GCM},
	{TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", VersionTLS12, true, crypto.SHA256, chacha20},
	{TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256, "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256", VersionTLS12, true, crypto.SHA256, aes128CCM},
	{TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256, "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256", VersionTLS12, true, crypto.SHA256, aes128CCM8},

	{TLS_PSK_WITH_AES_128_GCM_SHA256, "TLS_PSK_WITH_AES_128_GCM_SHA256", VersionTLS12, false, crypto.SHA256, aes128GCM},
	{TLS_PSK_WITH_AES_256_GCM_SHA384, "TLS_PSK_WITH_AES_256_GCM_SHA384", VersionTLS12, false, crypto.SHA384, aes256GCM},
	{TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256", VersionTLS12, false, crypto.SHA256, chacha20},
	{TLS_PSK_WITH_AES_128_CCM, "TLS_PSK_WITH_AES_128_CCM", VersionTLS12, false, crypto.SHA256, aes128CCM},
	{TLS_PSK_WITH_AES_128_CCM_8, "TLS_PSK_WITH_AES_128_CCM_8", VersionTLS12, false, crypto.SHA256, aes128CCM8},
}

// suiteByID is the suite of that number, nil if there is none.
func suiteByID(id uint16) *suite {
	i := slices.IndexFunc(suites, func(s *suite) bool { return s.id == id })
	if i < 0 {
		return nil
	}
	return suites[i]
}

// CipherSuiteName is the registered name of a suite of this package, and its number in
// hexadecimal for others.
func CipherSuiteName(id uint16) string {
	if s := suiteByID(id); s != nil {
		return s.name
	}
	return fmt.Sprintf("0x%04X", id)
}
