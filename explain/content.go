package explain

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/simroot/simroot/tlv"
)

// Bounds of what is kept of files, on one channel.
const (
	maxFiles    = 32
	maxFileSize = 1 << 16
)

// contents puts files together from the blocks in which they are read or written.
type contents map[string][]byte

// add puts a block at its place, if it continues what is there, and returns all up to its
// end.
func (c *contents) add(file string, offset int, block []byte) (all []byte) {
	if *c == nil {
		*c = contents{}
	}
	old, known := (*c)[file]
	if offset == 0 {
		old = nil
	}
	if offset > len(old) || offset+len(block) > maxFileSize || !known && len(*c) >= maxFiles {
		return nil
	}
	all = append(old[:offset], block...) // nobody else holds it
	(*c)[file] = all
	return all
}

// fileContent is the answer to READ FILE.
func fileContent(x *exchange, b []byte) []Part {
	name := "?"
	if elements, fits := fit(x.command.Data, nameFields); fits {
		name = fmt.Sprintf("%02X %s", uint32(elements[0].tag), elements[0].value)
	}
	return x.block(name, offset(x.command), b)
}

// persoWrite is the operation WRITE of the personalisation.
func persoWrite(x *exchange, b []byte) []Part {
	parts := x.ber(b, writeFields)
	objects, err := tlv.Parse(b)
	if err != nil {
		return parts
	}
	id, _ := tlv.Find(objects, 0x83)
	at, _ := tlv.Find(objects, 0x80)
	block, found := tlv.Find(objects, 0x81)
	if !found || len(at) != 2 {
		return parts
	}
	return append(parts, x.block(fmt.Sprintf("written %s", id), number(at), block)...)
}

var writeFields = merged(nameFields, dictionary{
	0x80: {name: "offset", value: amount("")},
	0x81: {name: "bytes", form: func(*exchange, []byte) []Part { return nil }},
})

// block explains one block of a file, and the certificate that it completes.
func (x *exchange) block(file string, offset int, b []byte) []Part {
	p := Part{Name: "content", Text: fmt.Sprintf("%s from %d on", count(len(b)), offset)}
	if printable(b) {
		p.Text = fmt.Sprintf("%q", b)
	}
	all := x.ch.contents.add(file, offset, b)
	size := derSize(all)
	switch {
	case size == 0:
		return []Part{p}
	case size > len(all):
		p.Text += fmt.Sprintf(", %d of %s of DER so far", len(all), count(size))
		return []Part{p}
	case size <= offset: // completed before; what follows is padding
		return []Part{p}
	}
	certificate, err := x509.ParseCertificate(all[:size])
	if err != nil {
		return []Part{p, {Name: "DER", Text: count(size) + ", no certificate"}}
	}
	return []Part{p, {Name: "certificate", Text: count(size), Parts: describe(certificate)}}
}

// derSize is the size that a DER SEQUENCE at the begin of b has as a whole; 0 if there is
// none.
func derSize(b []byte) int {
	switch {
	case len(b) < 4 || b[0] != 0x30:
		return 0
	case b[1] < 0x80:
		return 2 + int(b[1])
	case b[1] == 0x81:
		return 3 + int(b[2])
	case b[1] == 0x82:
		return 4 + int(b[2])<<8 + int(b[3])
	}
	return 0
}

// describe tells whose a certificate is and how long it holds.
func describe(c *x509.Certificate) []Part {
	key := c.PublicKeyAlgorithm.String()
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		key = "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		key = fmt.Sprintf("RSA-%d", k.N.BitLen())
	}
	issuer := c.Issuer.String()
	if bytes.Equal(c.RawIssuer, c.RawSubject) {
		issuer += " (itself)"
	}
	return []Part{
		{Name: "subject", Text: clean(c.Subject.String())},
		{Name: "issuer", Text: clean(issuer)},
		{Name: "valid", Text: fmt.Sprintf("from %s to %s", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))},
		{Name: "key", Text: key},
	}
}

// clean keeps names from outside from moving the terminal's cursor.
func clean(name string) string {
	if !printable([]byte(name)) {
		return fmt.Sprintf("%q", name)
	}
	return name
}
