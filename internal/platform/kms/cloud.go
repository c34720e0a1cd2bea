//go:build cloudkms

package kms

import (
	_ "go.step.sm/crypto/kms/awskms"   // keys at Amazon's key service
	_ "go.step.sm/crypto/kms/cloudkms" // keys at Google's
)
