package api

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// AuditEntry is one state change: who, what, why, before and after. Entries are a chain: the
// hash of each covers the hash of the one before it, so that the last one stands for all.
type AuditEntry struct {
	Seq     int64     `json:"seq"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Note    string    `json:"note,omitempty"`
	Hash    AuditHash `json:"hash"`
}

// AuditHash is the SHA-256 of an audit entry and all those before it: see [AuditEntry.Chained].
type AuditHash [sha256.Size]byte

// MarshalText writes hexadecimal.
func (h AuditHash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hexadecimal.
func (h *AuditHash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("the hash of an audit entry: want %d bytes in hexadecimal", len(h))
	}
	copy(h[:], b)
	return nil
}

func (h AuditHash) String() string { return hex.EncodeToString(h[:]) }

// Chained is the hash that the entry must have behind an entry with the given hash, which is zero
// for the first: SHA-256 over the hash before; the sequence number and the time in microseconds
// since 1970, 8 bytes each, big-endian; and actor, action, subject, before, after and note, each behind
// its length in 4 bytes.
func (e AuditEntry) Chained(before AuditHash) AuditHash {
	b := make([]byte, 0, 256)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixMicro()))
	for _, field := range []string{e.Actor, e.Action, e.Subject, e.Before, e.After, e.Note} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return sha256.Sum256(b)
}

// AuditHead stands for all entries up to one. Whoever keeps a head elsewhere can later tell
// whether any of them was altered, removed or moved. The zero head is before all entries.
type AuditHead struct {
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	Hash AuditHash `json:"hash"`
	// Signature is over the other fields, by the platform's audit key: ECDSA on P-256 with
	// SHA-256, in ASN.1.
	Signature []byte `json:"signature,omitempty"`
}

// Digest is what the signature of a head is over: SHA-256 of "simroot audit head", the sequence
// number and the time in microseconds since 1970 (8 bytes each, big-endian) and the hash.
func (h AuditHead) Digest() [sha256.Size]byte {
	b := []byte("simroot audit head")
	b = binary.BigEndian.AppendUint64(b, uint64(h.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Time.UnixMicro()))
	return sha256.Sum256(append(b, h.Hash[:]...))
}

// ErrAuditBroken: the audit log is not what it was. Something outside the platform has changed it.
var ErrAuditBroken = errors.New("the audit log was tampered with")

// Follow moves the head over the next entry, or fails with [ErrAuditBroken] if that does not
// follow it.
func (h *AuditHead) Follow(e AuditEntry) error {
	switch {
	case e.Seq != h.Seq+1:
		return fmt.Errorf("%w: entry %d follows entry %d", ErrAuditBroken, e.Seq, h.Seq)
	case e.Hash != e.Chained(h.Hash):
		return fmt.Errorf("%w: entry %d (%s of %s) or one before it is not what was written", ErrAuditBroken, e.Seq, e.Action, e.Subject)
	}
	h.Seq, h.Hash = e.Seq, e.Hash
	return nil
}

// AuditCheck checks a whole audit log against heads that were kept.
type AuditCheck struct {
	head AuditHead
	kept []AuditHead
}

// NewAuditCheck begins before the first entry.
func NewAuditCheck(kept ...AuditHead) *AuditCheck { return &AuditCheck{kept: kept} }

// Next takes the next entry. It fails with [ErrAuditBroken] if that is none that was written.
func (c *AuditCheck) Next(e AuditEntry) error {
	if err := c.head.Follow(e); err != nil {
		return err
	}
	c.head.Time = e.Time
	for _, k := range c.kept {
		if k.Seq == e.Seq && k.Hash != e.Hash {
			return fmt.Errorf("%w: entry %d or one before it is not the one whose head was kept at %s", ErrAuditBroken, e.Seq, k.Time.Format(time.RFC3339))
		}
	}
	return nil
}

// End tells, after the last entry, whether there are as many as there were.
func (c *AuditCheck) End() error {
	for _, k := range c.kept {
		if k.Seq > c.head.Seq {
			return fmt.Errorf("%w: it ends with entry %d, and at %s there were %d", ErrAuditBroken, c.head.Seq, k.Time.Format(time.RFC3339), k.Seq)
		}
	}
	return nil
}

// Head is the last entry that was checked.
func (c *AuditCheck) Head() AuditHead { return c.head }
