//go:build pkcs11

package kms

import _ "go.step.sm/crypto/kms/pkcs11" // keys in a PKCS#11 token
