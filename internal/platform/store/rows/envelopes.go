package rows

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/simroot/simroot/internal/platform/store"
)

// The statements on the envelopes of each kind. An envelope begins with a byte for its version
// and eight for the ID of the key-encryption key (package envelope). Those of version 1 name no key:
// they count as under none, and are by that under another than any that is asked for.
var envelopeQueries = map[store.EnvelopeKind]struct{ list, replace, count string }{
	store.AnswerEnvelope: {
		"SELECT principal || ' ' || name, answer FROM answers WHERE (principal, name) > (?, ?) AND substr(answer, 2, 8) <> ? ORDER BY principal, name LIMIT ?",
		"UPDATE answers SET answer = ? WHERE principal = ? AND name = ? AND answer = ?",
		"SELECT CASE WHEN substr(answer, 1, 1) = ? THEN substr(answer, 1, 1) ELSE substr(answer, 2, 8) END, count(*) FROM answers GROUP BY 1",
	},
	store.SIMEnvelope: {
		"SELECT iccid, keys FROM sims WHERE iccid > ? AND substr(keys, 2, 8) <> ? ORDER BY iccid LIMIT ?",
		"UPDATE sims SET keys = ? WHERE iccid = ? AND keys = ?",
		"SELECT CASE WHEN substr(keys, 1, 1) = ? THEN substr(keys, 1, 1) ELSE substr(keys, 2, 8) END, count(*) FROM sims GROUP BY 1",
	},
	store.CredentialEnvelope: {
		"SELECT id, secret FROM credentials WHERE id > ? AND secret IS NOT NULL AND substr(secret, 2, 8) <> ? ORDER BY id LIMIT ?",
		"UPDATE credentials SET secret = ? WHERE id = ? AND secret = ?",
		"SELECT CASE WHEN substr(secret, 1, 1) = ? THEN substr(secret, 1, 1) ELSE substr(secret, 2, 8) END, count(*) FROM credentials WHERE secret IS NOT NULL GROUP BY 1",
	},
	store.TransportEnvelope: {
		"SELECT id, secret FROM transport_keys WHERE id > ? AND secret IS NOT NULL AND substr(secret, 2, 8) <> ? ORDER BY id LIMIT ?",
		"UPDATE transport_keys SET secret = ? WHERE id = ? AND secret = ?",
		"SELECT CASE WHEN substr(secret, 1, 1) = ? THEN substr(secret, 1, 1) ELSE substr(secret, 2, 8) END, count(*) FROM transport_keys WHERE secret IS NOT NULL GROUP BY 1",
	},
}

// unnamed is how an envelope begins that names no key: with version 1.
var unnamed = []byte{1}

// envelopeKey is the key of a row that holds an envelope: the values of its columns.
func envelopeKey(kind store.EnvelopeKind, key string) []any {
	if kind != store.AnswerEnvelope {
		return []any{key}
	}
	principal, name, _ := strings.Cut(key, " ")
	return []any{principal, name}
}

// EnvelopesNotUnder implements [store.Envelopes].
func (t *Tx) EnvelopesNotUnder(kind store.EnvelopeKind, kek [8]byte, after string, limit int) ([]store.Envelope, error) {
	return list(t, func(row scanner) (store.Envelope, error) {
		e := store.Envelope{Kind: kind}
		err := row.Scan(&e.Key, &e.Sealed)
		return e, err
	}, envelopeQueries[kind].list, append(envelopeKey(kind, after), kek[:], limit)...)
}

// ReplaceEnvelope implements [store.Envelopes].
func (t *Tx) ReplaceEnvelope(e store.Envelope, sealed []byte) error {
	n, err := t.exec(envelopeQueries[e.Kind].replace, append(append([]any{sealed}, envelopeKey(e.Kind, e.Key)...), e.Sealed)...)
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return err
}

// CountEnvelopes implements [store.Envelopes].
func (t *Tx) CountEnvelopes() (map[[8]byte]int, error) {
	type count struct {
		kek []byte
		n   int
	}
	counts := map[[8]byte]int{}
	for _, kind := range store.EnvelopeKinds {
		found, err := list(t, func(row scanner) (c count, err error) {
			err = row.Scan(&c.kek, &c.n)
			return c, err
		}, envelopeQueries[kind].count, unnamed)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			switch {
			case bytes.Equal(c.kek, unnamed):
				counts[[8]byte{}] += c.n
			case len(c.kek) == 8:
				counts[[8]byte(c.kek)] += c.n
			default:
				return nil, fmt.Errorf("store: %d secrets of kind %s are in no envelope", c.n, kind)
			}
		}
	}
	return counts, nil
}
