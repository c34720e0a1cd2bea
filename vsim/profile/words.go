package profile

import (
	"strings"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
)

// word is a value of the interface and its name in a profile.
type word[T any] struct {
	name  string
	value T
}

// The words of profiles, in the order in which errors list them.
var (
	signatureLengths = []word[applet.SignatureLength]{
		{"auto", applet.AutoLength}, {"one", applet.OneByteLength}, {"two", applet.TwoByteLength},
	}
	keyTypes = []word[iotsafe.KeyType]{
		{"p256", iotsafe.P256Persistent},
		{"p256-volatile", iotsafe.P256Volatile},
		{"brainpool256", iotsafe.BrainpoolP256Persist},
		{"brainpool256-volatile", iotsafe.BrainpoolP256Volatile},
		{"rsa2048", iotsafe.RSA2048},
	}
	secretTypes = []word[iotsafe.KeyType]{
		{"hmac", iotsafe.HMACSecret}, {"aes128", iotsafe.AES128Secret}, {"aes256", iotsafe.AES256Secret},
	}
	keyUsages = []word[iotsafe.Usage]{
		{"general", iotsafe.General},
		{"tls12-certificate-verify", iotsafe.TLS12CertificateVerify},
		{"tls13-certificate-verify", iotsafe.TLS13CertificateVerify},
	}
	fileUsages = []word[iotsafe.Usage]{{"general", iotsafe.General}, {"certificate", iotsafe.X509Certificate}}
	accesses   = []word[iotsafe.Access]{{"read", iotsafe.Readable}, {"update", iotsafe.Updateable}}
	functions  = []word[iotsafe.Function]{
		{"sign", iotsafe.Signing},
		{"generate", iotsafe.KeyGeneration},
		{"agree", iotsafe.KeyAgreement},
		{"derive", iotsafe.KeyDerivation},
		{"encrypt", iotsafe.Encryption},
	}
	signatures = []word[iotsafe.SignatureAlgorithm]{
		{"ecdsa", iotsafe.ECDSA}, {"rsa-pkcs1", iotsafe.RSAPKCS1v15}, {"rsa-pss", iotsafe.RSAPSS},
	}
	hashes = []word[iotsafe.Hash]{
		{"sha256", iotsafe.SHA256}, {"sha384", iotsafe.SHA384}, {"sha512", iotsafe.SHA512},
	}
	agreements  = []word[byte]{{"ecka", iotsafe.ECKA}}
	derivations = []word[iotsafe.Derivation]{{"prf-sha256", iotsafe.PRFSHA256}, {"hkdf", iotsafe.HKDF}}
)

// oneOf reads one of the given words.
func oneOf[T any](words []word[T]) func(node) (T, error) {
	return func(n node) (T, error) {
		var zero T
		text, err := n.text()
		if err != nil {
			return zero, err
		}
		for _, w := range words {
			if w.name == text {
				return w.value, nil
			}
		}
		return zero, n.errorf("want one of %s", names(words))
	}
}

// mask reads a list of the given words, each at most once.
func mask[T ~uint8 | ~uint16](words []word[T]) func(node) (T, error) {
	return func(n node) (T, error) {
		items, err := n.sequence()
		if err != nil {
			return 0, err
		}
		var all T
		for _, item := range items {
			v, err := oneOf(words)(item)
			switch {
			case err != nil:
				return 0, err
			case all&v != 0:
				return 0, item.errorf("listed twice")
			}
			all |= v
		}
		return all, nil
	}
}

func names[T any](words []word[T]) string {
	var list []string
	for _, w := range words {
		list = append(list, w.name)
	}
	return strings.Join(list, ", ")
}
