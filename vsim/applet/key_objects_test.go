package applet_test

import (
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// Objects for the commands beyond P-256 signatures.

// typed changes the key type of an object, and what goes with it.
func typed(o iotsafe.Object, t iotsafe.KeyType) iotsafe.Object {
	o.KeyType = t
	if t == iotsafe.RSA2048 {
		o.Signatures = iotsafe.RSAPKCS1v15 | iotsafe.RSAPSS
		o.Hashes = iotsafe.SHA256 | iotsafe.SHA384 | iotsafe.SHA512
		o.Functions |= iotsafe.Encryption
	}
	return o
}

// agreeing makes a key fit for key agreement too.
func agreeing(o iotsafe.Object) iotsafe.Object {
	o.Functions |= iotsafe.KeyAgreement
	o.KeyAgreement = iotsafe.ECKA
	return o
}

// updateable makes a public key one that a device may put.
func updateable(o iotsafe.Object) iotsafe.Object {
	o.Access |= iotsafe.Updateable
	return o
}

// used gives a key a specific usage.
func used(o iotsafe.Object, u iotsafe.Usage) iotsafe.Object {
	o.Usage = u
	return o
}

// cipherSecret is a container for an AES secret.
func cipherSecret(id iotsafe.ID, t iotsafe.KeyType) iotsafe.Object {
	return iotsafe.Object{Kind: iotsafe.SecretKey, ID: id, KeyType: t, Functions: iotsafe.Encryption}
}

// psk is a container for a secret that allows every derivation.
func psk(id iotsafe.ID) iotsafe.Object {
	o := secret(id)
	o.Derivations |= iotsafe.HKDF
	return o
}

// stored is the script that puts and activates a secret.
func stored(id iotsafe.ID, b []byte) []perso.Op {
	return []perso.Op{putSecret(id, b), perso.Activate{Refs: []perso.Ref{ref(iotsafe.SecretKey, id)}}}
}
