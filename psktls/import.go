package psktls

import (
	"context"
	"crypto"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Numbers of key derivation functions (RFC 9258, 10).
var importedKDFs = map[crypto.Hash]uint16{crypto.SHA256: 1, crypto.SHA384: 2}

// Import derives from an external key one that serves TLS 1.3 with the given hash and nothing
// else (RFC 9258), and the identity under which it is presented; both sides must do so. The identity
// is the external key's name, info the optional context that both sides know, for instance both
// parties' names in their roles, which keeps them from being reflected.
//
// Import asks key for its early secret under SHA-256, and derives the imported key from it
// in the host's memory: it separates uses of a key, and hides no more of it than TLS 1.3 does.
func Import(ctx context.Context, key Key, identity, info []byte, hash crypto.Hash) (importedIdentity []byte, imported Key, err error) {
	kdf, ok := importedKDFs[hash]
	if !ok {
		return nil, nil, fmt.Errorf("psktls: import a key for %v: SHA-256 and SHA-384 are possible", hash)
	}
	if len(identity) == 0 {
		return nil, nil, fmt.Errorf("psktls: import a key: its identity is empty")
	}
	var b cryptobyte.Builder
	addVector16(&b, identity)
	addVector16(&b, info)
	b.AddUint16(VersionTLS13)
	b.AddUint16(kdf)
	if importedIdentity, err = b.Bytes(); err != nil {
		return nil, nil, fmt.Errorf("psktls: import a key: identity or context too long: %w", err)
	}
	const external = crypto.SHA256 // that of a key that names none (RFC 9258, 5.1)
	extracted, err := key.EarlySecret(ctx, external)
	if err != nil {
		return nil, nil, err
	}
	digest := external.New()
	digest.Write(importedIdentity)
	psk := expandLabel(external, extracted, "derived psk", digest.Sum(nil), hash.Size())
	return importedIdentity, &importedKey{secretKey{psk}}, nil
}

// importedKey has a binder of its own, so that it cannot pass for an external key.
type importedKey struct{ secretKey }

// binderLabel is the label for the binder under a key.
func binderLabel(k Key) string {
	if _, ok := k.(*importedKey); ok {
		return binderImported
	}
	return binderExternal
}
