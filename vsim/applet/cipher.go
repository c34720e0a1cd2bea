package applet

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// MaxText is the most bytes that are enciphered or deciphered at once.
const MaxText = 1024

// enciphering is an ENCRYPT or DECRYPT session, of simroot's own services: it collects
// the text and works on it as a whole, so that nothing leaves before its tag is checked.
type enciphering struct {
	kind       iotsafe.Kind
	key        iotsafe.ID
	cipher     iotsafe.Cipher
	hash       iotsafe.Hash // of RSA-OAEP
	additional []byte
	decrypt    bool
	text       []byte
}

// prepareEncrypting reads the parameters of ENCRYPT INIT.
func (a *Applet) prepareEncrypting(data []byte) (preparation, apdu.SW) {
	return a.prepareCipher(data, false)
}

// prepareDecrypting reads the parameters of DECRYPT INIT.
func (a *Applet) prepareDecrypting(data []byte) (preparation, apdu.SW) {
	return a.prepareCipher(data, true)
}

func (a *Applet) prepareCipher(data []byte, decrypt bool) (p preparation, sw apdu.SW) {
	f, ok := readFields(data)
	if !ok {
		return p, apdu.WrongData
	}
	number, ok := f.number(iotsafe.TagCiphers, 1)
	hash, okHash := f.number(iotsafe.TagHashes, 2)
	additional, _ := f.take(iotsafe.TagAdditional)
	e := &enciphering{
		kind: iotsafe.SecretKey, cipher: iotsafe.Cipher(number), hash: iotsafe.Hash(hash),
		additional: bytes.Clone(additional), decrypt: decrypt,
	}
	if e.cipher == iotsafe.RSAOAEP {
		e.kind = iotsafe.PrivateKey
	}
	name, named := f.name(e.kind)
	if !ok || !okHash || !named || name.Tag == 0 || !f.empty() || !e.known() {
		return p, apdu.WrongData
	}
	if e.kind == iotsafe.PrivateKey && a.state.Type == 2 {
		return p, apdu.WrongData
	}
	if p.key, sw = a.resolve(e.kind, name); sw != apdu.OK {
		return p, sw
	}
	switch {
	case p.key.container == nil:
		return p, apdu.NotFound
	case !e.allowed(p.key.container.Object):
		return p, apdu.ConditionsNot
	}
	e.key, p.task = p.key.ref.ID, e
	return p, apdu.OK
}

// known tells whether there is such a service. For enciphering with RSA no card is needed.
func (e *enciphering) known() bool {
	switch e.cipher {
	case iotsafe.AESGCM, iotsafe.AESCCM:
		return e.hash == 0
	case iotsafe.RSAOAEP:
		return e.decrypt && e.hash.Func() != 0
	}
	return false
}

// allowed tells whether a key may be used so.
func (e *enciphering) allowed(key iotsafe.Object) bool {
	if !key.Active || key.Functions&iotsafe.Encryption == 0 {
		return false
	}
	if e.cipher == iotsafe.RSAOAEP {
		return key.KeyType == iotsafe.RSA2048 && !restricted(key) && key.Hashes&e.hash != 0
	}
	return key.KeyType == iotsafe.AES128Secret || key.KeyType == iotsafe.AES256Secret
}

// room is how much data the UPDATEs may bring.
func (e *enciphering) room() int {
	if e.decrypt {
		return MaxText + iotsafe.NonceSize + iotsafe.CipherTagSize
	}
	return MaxText
}

// update is ENCRYPT UPDATE or DECRYPT UPDATE: the data is the text itself.
func (e *enciphering) update(a *Applet, c apdu.Command, last bool) apdu.Response {
	if len(e.text)+len(c.Data) > e.room() {
		return refuse(apdu.NoSpace)
	}
	e.text = append(e.text, c.Data...)
	if !last {
		return refuse(apdu.OK)
	}
	container := a.usable(e.kind, e.key)
	if container == nil {
		return refuse(apdu.ConditionsNot)
	}
	if e.cipher == iotsafe.RSAOAEP {
		return e.decryptOAEP(a, container)
	}
	block, err := aes.NewCipher(container.Content)
	if err != nil {
		return refuse(apdu.StoreDamaged)
	}
	if e.decrypt {
		return e.open(block)
	}
	return e.seal(block)
}

// aead is the cipher on whole messages (RFC 5116).
func (e *enciphering) aead(block cipher.Block) (cipher.AEAD, error) {
	if e.cipher == iotsafe.AESCCM {
		return ccm{block}, nil
	}
	return cipher.NewGCM(block)
}

// seal draws a nonce and returns nonce, ciphertext and tag.
func (e *enciphering) seal(block cipher.Block) apdu.Response {
	var nonce [iotsafe.NonceSize]byte
	rand.Read(nonce[:])
	sealed := append(make([]byte, 0, len(e.text)+iotsafe.NonceSize+iotsafe.CipherTagSize), nonce[:]...)
	aead, err := e.aead(block)
	if err != nil {
		return refuse(apdu.Unknown)
	}
	return answer(aead.Seal(sealed, nonce[:], e.text, e.additional))
}

// open is the reverse of seal. A text that is not authentic is wrong data, as is one that
// is too short.
func (e *enciphering) open(block cipher.Block) apdu.Response {
	if len(e.text) < iotsafe.NonceSize {
		return refuse(apdu.WrongData)
	}
	aead, err := e.aead(block)
	if err != nil {
		return refuse(apdu.Unknown)
	}
	text, err := aead.Open(nil, e.text[:iotsafe.NonceSize], e.text[iotsafe.NonceSize:], e.additional)
	if err != nil {
		return refuse(apdu.WrongData)
	}
	return answer(text)
}

// decryptOAEP answers every ciphertext that does not decipher alike.
func (e *enciphering) decryptOAEP(a *Applet, container *Container) apdu.Response {
	key, ok := a.key(container)
	private, isRSA := key.(rsaKey)
	if !ok || !isRSA {
		return refuse(apdu.StoreDamaged)
	}
	text, err := rsa.DecryptOAEP(e.hash.Func().New(), nil, private.PrivateKey, e.text, e.additional)
	if err != nil {
		return refuse(apdu.WrongData)
	}
	return answer(text)
}
