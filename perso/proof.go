package perso

import (
	"crypto/hmac"
	"crypto/sha256"
)

// Labels keep each use of a key apart from every other. A TLS handshake never signs or
// derives over anything that begins like these.
const (
	keyProofLabel    = "simroot proof of possession, key, 1\x00"
	secretProofLabel = "simroot proof of possession, secret, 1\x00"
	secretCheckLabel = "simroot check value, 1\x00"
)

// ProofDigest is the SHA-256 digest that a private key signs to prove that it sits in
// the SIM with the given EF.ICCID content: over a label, the challenge, the ICCID and
// the uncompressed public point.
func ProofDigest(challenge [ChallengeSize]byte, iccid [10]byte, point []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(keyProofLabel))
	h.Write(challenge[:])
	h.Write(iccid[:])
	h.Write(point)
	return [sha256.Size]byte(h.Sum(nil))
}

// SecretProof is what shows that two sides hold the same secret for the SIM with the
// given EF.ICCID content: an HMAC-SHA-256 over a label, the challenge and the ICCID.
func SecretProof(secret []byte, challenge [ChallengeSize]byte, iccid [10]byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(secretProofLabel))
	h.Write(challenge[:])
	h.Write(iccid[:])
	return [sha256.Size]byte(h.Sum(nil))
}

// SecretCheck is the check value of a secret: it detects a wrong key-encryption key, and
// reveals nothing useful of a secret of 16 bytes or more.
func SecretCheck(secret []byte) [CheckSize]byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(secretCheckLabel))
	return [CheckSize]byte(h.Sum(nil)[:CheckSize])
}
