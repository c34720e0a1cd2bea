package iotsafe

import (
	"fmt"
	"strings"
)

// The label of a secret key names the identity under which servers know it: IoT.05 leaves labels
// free, and one that is written with the secret, in one step, cannot be another's.
const (
	pskPrefix   = "psk:"
	trialPrefix = "psk on trial:"
)

// MaxIdentity is the longest PSK identity that a label has room for, in bytes.
const MaxIdentity = MaxLabel - len(trialPrefix)

// PSKLabel is the label of the secret key that servers know under an identity. A secret on trial
// is used by nobody but who tries it: another one is still in its place.
func PSKLabel(identity string, onTrial bool) (string, error) {
	if len(identity) == 0 || len(identity) > MaxIdentity {
		return "", fmt.Errorf("a PSK identity of %d bytes: a SIM has room for 1 to %d", len(identity), MaxIdentity)
	}
	if onTrial {
		return trialPrefix + identity, nil
	}
	return pskPrefix + identity, nil
}

// PSKIdentity is the identity that the label of a secret key names, "" if it names none, and
// whether the secret is on trial: see [PSKLabel].
func (o Object) PSKIdentity() (identity string, onTrial bool) {
	if o.Kind != SecretKey {
		return "", false
	}
	if identity, ok := strings.CutPrefix(o.Label, trialPrefix); ok {
		return identity, true
	}
	identity, ok := strings.CutPrefix(o.Label, pskPrefix)
	if !ok {
		return "", false
	}
	return identity, false
}
