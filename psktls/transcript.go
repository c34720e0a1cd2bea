package psktls

import (
	"crypto"
	"hash"
)

// transcript is the hash over the handshake's messages. Until the hash is known, the messages are
// kept.
type transcript struct {
	hash    crypto.Hash
	running hash.Hash
	kept    []byte
}

// add takes a message in, header included.
func (t *transcript) add(raw []byte) {
	if t.running == nil {
		t.kept = append(t.kept, raw...)
		return
	}
	t.running.Write(raw)
}

// start sets the hash.
func (t *transcript) start(h crypto.Hash) {
	t.hash, t.running = h, h.New()
	t.running.Write(t.kept)
	t.kept = nil
}

// retry replaces the first ClientHello by its hash (RFC 8446, 4.4.1).
func (t *transcript) retry() {
	first := t.sum()
	t.running.Reset()
	t.running.Write([]byte{typeMessageHash, 0, 0, byte(len(first))})
	t.running.Write(first)
}

// sum is the hash so far.
func (t *transcript) sum() []byte { return t.running.Sum(nil) }

// sumWith is the hash as it would be after some more bytes. It works before start too,
// with the hash given.
func (t *transcript) sumWith(h crypto.Hash, more []byte) ([]byte, error) {
	if t.running == nil {
		w := h.New()
		w.Write(t.kept)
		w.Write(more)
		return w.Sum(nil), nil
	}
	w, err := t.running.(hash.Cloner).Clone() // all hashes of the standard library can
	if err != nil {
		return nil, err
	}
	w.Write(more)
	return w.Sum(nil), nil
}
