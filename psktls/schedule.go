package psktls

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
)

// schedule is the key schedule of TLS 1.3 (RFC 8446, 7.1), at one of its stages: early,
// handshake, master.
type schedule struct {
	hash   crypto.Hash
	secret []byte
}

// newSchedule begins with the early secret, which the Key has computed.
func newSchedule(h crypto.Hash, early []byte) *schedule { return &schedule{h, early} }

// advance goes to the next stage, with an ECDH result, or with nil where zeros stand for it.
func (s *schedule) advance(input []byte) error {
	if input == nil {
		input = make([]byte, s.hash.Size())
	}
	secret, err := hkdf.Extract(s.hash.New, input, s.derive("derived", s.empty()))
	s.secret = secret
	return err
}

// derive is Derive-Secret, given the hash of the messages.
func (s *schedule) derive(label string, messages []byte) []byte {
	return expandLabel(s.hash, s.secret, label, messages, s.hash.Size())
}

// empty is the hash of no messages.
func (s *schedule) empty() []byte { return s.hash.New().Sum(nil) }

// binder is the proof that one knows the PSK (RFC 8446, 4.2.11.2), over the hash of the messages up to
// the binders. It belongs to the early stage.
func (s *schedule) binder(label string, messages []byte) []byte {
	return finishedMAC(s.hash, s.derive(label, s.empty()), messages)
}

// Labels of the binder key: whose PSK it is.
const (
	binderExternal = "ext binder" // RFC 8446, 7.1
	binderImported = "imp binder" // RFC 9258, 5.2
)

// finishedMAC is what a Finished message holds, and a binder (RFC 8446, 4.4.4).
func finishedMAC(h crypto.Hash, base, messages []byte) []byte {
	mac := hmac.New(h.New, expandLabel(h, base, "finished", nil, h.Size()))
	mac.Write(messages)
	return mac.Sum(nil)
}

// expandLabel is HKDF-Expand-Label of TLS 1.3 (RFC 8446, 7.1). The context is a hash, the
// label one of the specification's or an exporter's of at most 249 bytes.
func expandLabel(h crypto.Hash, secret []byte, label string, context []byte, n int) []byte {
	info := make([]byte, 0, 4+6+len(label)+len(context))
	info = append(info, byte(n>>8), byte(n), byte(6+len(label)))
	info = append(append(info, "tls13 "...), label...)
	info = append(append(info, byte(len(context))), context...)
	out, err := hkdf.Expand(h.New, secret, string(info), n)
	if err != nil {
		// Only for more than 255 hashes of output, or a secret of fewer than 112 bits in FIPS
		// mode: never from outside bytes. ExportKeyingMaterial checks before it calls.
		panic("psktls: HKDF-Expand: " + err.Error())
	}
	return out
}
