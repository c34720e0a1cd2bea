package psktls

import (
	"crypto"
	"crypto/hmac"
)

// prf is the pseudorandom function of TLS 1.2 (RFC 5246, 5): P_hash(secret, label + seed),
// n bytes of it.
func prf(hash crypto.Hash, secret []byte, label string, seed []byte, n int) []byte {
	mac := hmac.New(hash.New, secret)
	labelled := make([]byte, 0, len(label)+len(seed))
	labelled = append(append(labelled, label...), seed...)

	out := make([]byte, 0, n+hash.Size())
	a := labelled // A(0)
	var store [64]byte
	for len(out) < n {
		mac.Reset()
		mac.Write(a)
		a = mac.Sum(store[:0]) // A(i)
		mac.Reset()
		mac.Write(a)
		mac.Write(labelled)
		out = mac.Sum(out)
	}
	return out[:n]
}

// Labels of the PRF (RFC 5246, 6.3, 7.4.9, 8.1; RFC 7627, 4).
const (
	labelMaster         = "master secret"
	labelExtendedMaster = "extended master secret"
	labelKeyExpansion   = "key expansion"
	labelClientFinished = "client finished"
	labelServerFinished = "server finished"
)

// finishedLen12 is the length of verify_data in TLS 1.2 (RFC 5246, 7.4.9).
const finishedLen12 = 12
