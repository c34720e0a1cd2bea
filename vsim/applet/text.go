package applet

import "github.com/simroot/simroot/iotsafe"

// text reads a text under tag 9B that comes in one UPDATE or several, and tells where it
// ends, because the signature to be verified may follow.
//
// How the length of 9B is written, and what further UPDATEs look like, is not settled in
// the field. All conventions are taken: a length of three bytes, in BER form, or of one
// byte; the length of the whole text at first, of which further UPDATEs are the raw rest; or a
// field of its own in each UPDATE.
type text struct {
	begun bool
	left  int // of the announced length
}

// lengthForm is one reading of a length field behind the tag.
type lengthForm struct{ head, length int } // bytes of tag and length; value of the latter

// textForms are the readings of tag 9B at b, in the order of preference. The readings of
// which too little is there have a head of 0.
func textForms(b []byte) [3]lengthForm {
	var forms [3]lengthForm
	if len(b) >= 4 {
		forms[0] = lengthForm{4, int(b[1])<<16 | int(b[2])<<8 | int(b[3])}
	}
	if n := int(b[1]) - 0x80; n >= 1 && n <= 3 && len(b) >= 2+n {
		forms[1].head = 2 + n
		for _, x := range b[2 : 2+n] {
			forms[1].length = forms[1].length<<8 | int(x)
		}
	}
	forms[2] = lengthForm{2, int(b[1])}
	return forms
}

// take splits the data of one UPDATE into a part of the text and what follows the text.
// Only if a tail is wanted may something follow; last tells that then it must.
func (t *text) take(data []byte, tail, last bool) (part, rest []byte, ok bool) {
	if t.left == 0 && len(data) > 0 && data[0] == iotsafe.TagFullText {
		var form lengthForm
		if form, ok = chooseForm(data, tail, last); !ok {
			return nil, nil, false
		}
		t.begun, t.left, data = true, form.length, data[form.head:]
	}
	n := min(t.left, len(data))
	part, rest = data[:n], data[n:]
	t.left -= n
	return part, rest, len(rest) == 0 || tail && t.begun && rest[0] == iotsafe.TagSignature
}

// ended tells that the whole text has come.
func (t *text) ended() bool { return t.begun && t.left == 0 }

// chooseForm takes the reading that fits the bytes present, with a signature behind it
// where one may follow; and if none fits, the one that announces more than is there.
//
// Two readings fit only if a text of 128 bytes or more begins with 80 or with two zeros;
// then the first in order is taken.
func chooseForm(data []byte, tail, last bool) (lengthForm, bool) {
	if len(data) < 2 {
		return lengthForm{}, false
	}
	forms := textForms(data)
	exact := func(f lengthForm) bool { return f.head > 0 && f.head+f.length == len(data) }
	followed := func(f lengthForm) bool {
		return f.head > 0 && f.head+f.length < len(data) && beginsSignature(data[f.head+f.length:])
	}
	fits := []func(lengthForm) bool{exact}
	if tail && last {
		fits = []func(lengthForm) bool{followed, exact}
	} else if tail {
		fits = []func(lengthForm) bool{exact, followed}
	}
	for _, fit := range fits {
		for _, f := range forms {
			if fit(f) {
				return f, true
			}
		}
	}
	// The length of the whole text. The three-byte form comes last, unless its first byte
	// is zero: as long a text as the others would announce is hardly ever signed.
	order := []lengthForm{forms[1], forms[2], forms[0]}
	if data[1] == 0x00 {
		order = forms[:1]
	}
	for _, f := range order {
		if f.head > 0 && f.head+f.length > len(data) {
			return f, true
		}
	}
	return lengthForm{}, false
}

// beginsSignature tells whether b looks like tag 33, or the beginning of one.
func beginsSignature(b []byte) bool {
	return b[0] == iotsafe.TagSignature && (len(b) == 1 || b[1] == 0x00 || b[1] == 0x01 || b[1] == signatureSize)
}
