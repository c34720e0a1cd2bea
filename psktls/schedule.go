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

// noPSK is the schedule without a pre-shared key: its early secret is HKDF-Extract(0, 0), which
// everybody knows.
func noPSK(h crypto.Hash) (*schedule, error) {
	early, err := hkdf.Extract(h.New, make([]byte, h.Size()), nil)
	return newSchedule(h, early), err
}

// salt is what the next stage is extracted with.
func (s *schedule) salt() []byte { return s.derive("derived", s.empty()) }

// advance goes to the next stage where zeros stand for an input. With an ephemeral key it
// is handshake.agree that does.
func (s *schedule) advance() (err error) {
	s.secret, err = hkdf.Extract(s.hash.New, make([]byte, s.hash.Size()), s.salt())
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
