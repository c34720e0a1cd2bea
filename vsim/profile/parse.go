package profile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"strconv"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
)

// Parse reads a profile from its YAML form (docs/profiles.md). name is that of the file,
// for errors, which are of type [*Error].
func Parse(name string, b []byte) (*Profile, error) {
	top, err := document(name, b)
	if err != nil {
		return nil, err
	}
	m, err := top.mapping("description", "type", "aids", "signature-length", "keys", "secrets", "files")
	if err != nil {
		return nil, err
	}
	p := &Profile{Name: name, Type: 1, AIDs: iotsafe.AIDs}
	for _, read := range []func() error{
		func() error { return optional(m, "description", &p.Description, node.text) },
		func() error { return optional(m, "type", &p.Type, appletType) },
		func() error { return optional(m, "aids", &p.AIDs, aids) },
		func() error {
			return optional(m, "signature-length", &p.SignatureLength, oneOf(signatureLengths))
		},
		func() error { return p.list(m, "keys", key) },
		func() error { return p.list(m, "secrets", secret) },
		func() error { return p.list(m, "files", file) },
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// list reads a list of containers. Whether an applet can keep them all is its own word,
// and asked for each, so that the error names the line.
func (p *Profile) list(m mapping, field string, read func(node) ([]Container, error)) error {
	if !m.has(field) {
		return nil
	}
	items, err := m.fields[field].sequence()
	if err != nil {
		return err
	}
	for _, item := range items {
		containers, err := read(item)
		if err != nil {
			return err
		}
		p.Containers = append(p.Containers, containers...)
		if _, err := applet.NewState(p.Type, p.objects()...); err != nil {
			return item.errorf("%w", err)
		}
	}
	return nil
}

// optional reads a field into v if it is there.
func optional[T any](m mapping, field string, v *T, read func(node) (T, error)) error {
	n, there := m.fields[field]
	if !there {
		return nil
	}
	read1, err := read(n)
	if err == nil {
		*v = read1
	}
	return err
}

func appletType(n node) (int, error) {
	switch text, err := n.text(); {
	case err != nil:
		return 0, err
	case text == "1":
		return 1, nil
	case text == "2":
		return 2, nil
	}
	return 0, n.errorf("want 1 or 2")
}

func aids(n node) ([][]byte, error) {
	items, err := n.sequence()
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for _, item := range items {
		aid, err := hexadecimal(5, 16)(item)
		if err != nil {
			return nil, err
		}
		list = append(list, aid)
	}
	if len(list) == 0 || len(list) > 8 {
		return nil, n.errorf("want 1 to 8 application identifiers")
	}
	return list, nil
}

// hexadecimal reads from least to most bytes. The error does not show them.
func hexadecimal(least, most int) func(node) ([]byte, error) {
	return func(n node) ([]byte, error) {
		text, err := n.text()
		if err != nil {
			return nil, err
		}
		b, err := hex.DecodeString(text)
		switch {
		case err != nil:
			return nil, n.errorf("want bytes in hexadecimal, two digits each")
		case len(b) < least || len(b) > most:
			return nil, n.errorf("%d bytes: want %d to %d", len(b), least, most)
		}
		return b, nil
	}
}

func identifier(n node) (iotsafe.ID, error) {
	b, err := hexadecimal(1, iotsafe.MaxID)(n)
	return iotsafe.ID(b), err
}

func label(n node) (string, error) {
	text, err := n.text()
	if err == nil && len(text) > iotsafe.MaxLabel {
		err = n.errorf("%d bytes: want at most %d", len(text), iotsafe.MaxLabel)
	}
	return text, err
}

func size(n node) (int, error) {
	text, err := n.text()
	if err != nil {
		return 0, err
	}
	i, err := strconv.Atoi(text)
	if err != nil || i < 1 || i > applet.MaxBytes {
		return 0, n.errorf("want a number of bytes, 1 to %d", applet.MaxBytes)
	}
	return i, nil
}

func yes(n node) (bool, error) {
	switch text, err := n.text(); {
	case err != nil:
		return false, err
	case text == "true":
		return true, nil
	case text == "false":
		return false, nil
	}
	return false, n.errorf("want true or false")
}

// key reads the halves of a key pair, or one of them.
func key(n node) ([]Container, error) {
	m, err := n.mapping("private", "public", "label", "type", "usage", "functions", "signatures",
		"hashes", "agreement", "access", "fresh", "scalar", "point")
	if err != nil {
		return nil, err
	}
	if !m.has("private") && !m.has("public") {
		return nil, n.errorf("want the identifier of a private key, of a public key, or both")
	}
	var private, public iotsafe.ID
	var fresh bool
	var scalar, point []byte
	access := iotsafe.Readable
	o := iotsafe.Object{KeyType: iotsafe.P256Persistent, Usage: iotsafe.General}
	for _, err := range []error{
		optional(m, "private", &private, identifier),
		optional(m, "public", &public, identifier),
		optional(m, "label", &o.Label, label),
		optional(m, "type", &o.KeyType, oneOf(keyTypes)),
		optional(m, "usage", &o.Usage, oneOf(keyUsages)),
		optional(m, "functions", &o.Functions, mask(functions)),
		optional(m, "signatures", &o.Signatures, mask(signatures)),
		optional(m, "hashes", &o.Hashes, mask(hashes)),
		optional(m, "agreement", &o.KeyAgreement, mask(agreements)),
		optional(m, "access", &access, mask(accesses)),
		optional(m, "fresh", &fresh, yes),
		optional(m, "scalar", &scalar, hexadecimal(32, 32)),
		optional(m, "point", &point, hexadecimal(65, 65)),
	} {
		if err != nil {
			return nil, err
		}
	}
	var halves []Container
	if private != "" {
		half := o
		half.Kind, half.ID = iotsafe.PrivateKey, private
		halves = append(halves, Container{Object: half, Content: scalar})
	}
	if public != "" {
		half := o
		half.Kind, half.ID, half.Access = iotsafe.PublicKey, public, access
		halves = append(halves, Container{Object: half, Content: point})
	}
	return halves, fillKeys(m, halves, fresh)
}

// fillKeys checks what a key entry says of its content, and completes it.
func fillKeys(m mapping, halves []Container, fresh bool) error {
	persistent := halves[0].Object.KeyType == iotsafe.P256Persistent
	switch {
	case !fresh && !m.has("scalar") && !m.has("point"):
		return nil
	case !persistent:
		return m.errorf("only keys of type p256 can be filled: others are made by GENERATE KEY PAIR or put by the device")
	case fresh && (len(halves) != 2 || m.has("scalar") || m.has("point")):
		return m.errorf("fresh: true is for a private and a public key together, without scalar and point")
	case fresh:
		halves[0].Fill, halves[1].Fill = FreshKeyPair, FreshKeyPair
		return nil
	case m.has("point"):
		if halves[0].Object.Kind != iotsafe.PublicKey {
			return m.fields["point"].errorf("a point fills a public key that stands alone: with a private key, give its scalar")
		}
		if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), halves[0].Content); err != nil {
			return m.fields["point"].errorf("not a point of P-256 in uncompressed form")
		}
		return nil
	case halves[0].Object.Kind != iotsafe.PrivateKey:
		return m.fields["scalar"].errorf("a scalar fills a private key: name one")
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), halves[0].Content)
	if err != nil {
		return m.fields["scalar"].errorf("not a private key of P-256")
	}
	if len(halves) == 2 {
		halves[1].Content, err = key.PublicKey.Bytes()
	}
	return err
}

// aesKeySizes are the lengths of the secrets that are AES keys, in bytes.
var aesKeySizes = map[iotsafe.KeyType]int{iotsafe.AES128Secret: 16, iotsafe.AES256Secret: 32}

// secret reads a secret key. Unless it says otherwise, it derives keys, and enciphers if
// it is an AES key.
func secret(n node) ([]Container, error) {
	m, err := n.mapping("id", "label", "type", "functions", "derivations", "access", "fresh", "hex")
	if err != nil {
		return nil, err
	}
	if !m.has("id") {
		return nil, n.errorf("want an id")
	}
	var fresh bool
	c := Container{Object: iotsafe.Object{
		Kind: iotsafe.SecretKey, KeyType: iotsafe.HMACSecret,
		Functions: iotsafe.KeyDerivation, Derivations: iotsafe.PRFSHA256 | iotsafe.HKDF,
	}}
	o := &c.Object
	for _, err := range []error{
		optional(m, "id", &o.ID, identifier),
		optional(m, "label", &o.Label, label),
		optional(m, "type", &o.KeyType, oneOf(secretTypes)),
		optional(m, "functions", &o.Functions, mask(functions)),
		optional(m, "derivations", &o.Derivations, mask(derivations)),
		optional(m, "access", &o.Access, mask(accesses)),
		optional(m, "fresh", &fresh, yes),
		optional(m, "hex", &c.Content, hexadecimal(1, perso.MaxSecret)),
	} {
		if err != nil {
			return nil, err
		}
	}
	aes, isAES := aesKeySizes[o.KeyType]
	if isAES {
		if !m.has("functions") {
			o.Functions = iotsafe.Encryption
		}
		if !m.has("derivations") {
			o.Derivations = 0
		}
	}
	switch {
	case fresh && m.has("hex"):
		return nil, n.errorf("fresh: true and hex exclude each other")
	case fresh:
		c.Fill = FreshSecret
	case isAES && m.has("hex") && len(c.Content) != aes:
		return nil, m.fields["hex"].errorf("%d bytes: want %d", len(c.Content), aes)
	}
	return []Container{c}, nil
}

// file reads a file.
func file(n node) ([]Container, error) {
	m, err := n.mapping("id", "label", "usage", "access", "capacity", "padded", "hex", "text")
	if err != nil {
		return nil, err
	}
	if !m.has("id") || !m.has("capacity") {
		return nil, n.errorf("want an id and a capacity")
	}
	var content string
	c := Container{Object: iotsafe.Object{Kind: iotsafe.File, Usage: iotsafe.General, Access: iotsafe.Readable}}
	o := &c.Object
	for _, err := range []error{
		optional(m, "id", &o.ID, identifier),
		optional(m, "label", &o.Label, label),
		optional(m, "usage", &o.Usage, oneOf(fileUsages)),
		optional(m, "access", &o.Access, mask(accesses)),
		optional(m, "capacity", &o.Size, size),
		optional(m, "padded", &c.Padded, yes),
		optional(m, "hex", &c.Content, hexadecimal(1, applet.MaxBytes)),
		optional(m, "text", &content, node.text),
	} {
		if err != nil {
			return nil, err
		}
	}
	if m.has("text") {
		if m.has("hex") {
			return nil, n.errorf("hex and text exclude each other")
		}
		c.Content = []byte(content)
	}
	if len(c.Content) > o.Size {
		return nil, n.errorf("a content of %d bytes in a file of %d", len(c.Content), o.Size)
	}
	return []Container{c}, nil
}
