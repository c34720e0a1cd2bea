package iotsafe

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
)

// SignES256 signs a text as the algorithm ES256 of JSON Web Signatures has it (RFC 7518,
// clause 3.4), and returns r and s, 32 bytes each. The text is hashed here; the SIM gets its
// digest.
func (s *Signer) SignES256(text []byte) ([]byte, error) {
	digest := sha256.Sum256(text)
	return s.signRaw(digest[:])
}

// JWS makes a JSON Web Signature in its compact form (RFC 7515, clause 7.1) with ES256. The
// header may carry "typ", "kid" and whatever else the reader wants, or be nil; "alg" is set
// here, and a header that names another algorithm is refused.
//
// With "typ": "JWT" and claims for a payload it is a JSON Web Token (RFC 7519), by which a
// device logs in where a service knows its public key.
func (s *Signer) JWS(header map[string]any, payload []byte) (string, error) {
	header = maps.Clone(header)
	if header == nil {
		header = map[string]any{}
	}
	if other, named := header["alg"]; named && other != "ES256" {
		return "", fmt.Errorf("iotsafe: the header names the algorithm %v: the SIM signs with ES256", other)
	}
	header["alg"] = "ES256"
	head, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("iotsafe: the header of a web signature: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := s.SignES256([]byte(text))
	if err != nil {
		return "", err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
