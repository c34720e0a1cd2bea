package api

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// PlainReader reads files with the keys of SIMs in clear, as a SIM issuer may have them, one SIM
// at a time: to be sealed ([BatchWriter]) where they are, and never to be sent as they are.
type PlainReader struct {
	next func() (map[string]string, error)
	n    int
}

// The fields of a SIM in a file in clear; further ones are attr.KEY.
const (
	fieldICCID      = "iccid"
	fieldKeyVersion = "key_version" // hexadecimal
	fieldDomain     = "domain"      // hexadecimal, like the keys
	fieldENC        = "enc"
	fieldMAC        = "mac"
	fieldDEK        = "dek"
	fieldEnrolment  = "est_secret" // may be absent; see [EnrolmentSecret]
	attributePrefix = "attr."
)

var plainFields = []string{fieldICCID, fieldKeyVersion, fieldDomain, fieldENC, fieldMAC, fieldDEK}

// NewPlainCSV reads CSV (RFC 4180). The first line names the columns: iccid, key_version, domain, enc,
// mac, dek, and if need be est_secret and attr.KEY, in any order. Records do not go over lines, so that numbers of lines are
// those of the file.
func NewPlainCSV(r io.Reader) (*PlainReader, error) {
	lines := csv.NewReader(r)
	columns, err := lines.Read()
	if err == io.EOF {
		return nil, errors.New("line 1: the file is empty")
	}
	if err != nil {
		return nil, err
	}
	columns[0] = strings.TrimPrefix(columns[0], "\uFEFF")
	seen := map[string]bool{}
	for _, c := range columns {
		if err := checkField(c); err != nil || seen[c] {
			return nil, fmt.Errorf("line 1: column %.40q: want %s and attr.KEY, each once", c, strings.Join(plainFields, ", "))
		}
		seen[c] = true
	}
	p := &PlainReader{n: 1}
	p.next = func() (map[string]string, error) {
		record, err := lines.Read()
		if err != nil {
			return nil, err
		}
		fields := make(map[string]string, len(columns))
		for i, c := range columns {
			if strings.ContainsAny(record[i], "\r\n") {
				return nil, errors.New("a field that goes over lines")
			}
			fields[c] = record[i]
		}
		return fields, nil
	}
	return p, nil
}

// NewPlainJSON reads a JSON array of objects, or objects one after the other, with the fields of
// [NewPlainCSV] as texts.
func NewPlainJSON(r io.Reader) *PlainReader {
	d := json.NewDecoder(r)
	begun, array := false, false
	return &PlainReader{next: func() (map[string]string, error) {
		if !begun {
			begun = true
			if first, err := firstByte(d); err != nil {
				return nil, err
			} else if array = first == '['; array {
				if _, err := d.Token(); err != nil {
					return nil, err
				}
			}
		}
		if array && !d.More() {
			if _, err := d.Token(); err != nil {
				return nil, errors.New("the array has no end: the file is cut short")
			}
			if _, err := d.Token(); err != io.EOF {
				return nil, errors.New("something follows the array")
			}
			return nil, io.EOF
		}
		var fields map[string]string
		if err := d.Decode(&fields); err != nil {
			return nil, err
		}
		for name := range fields {
			if err := checkField(name); err != nil {
				return nil, err
			}
		}
		return fields, nil
	}}
}

// firstByte tells how the first value begins, without taking it.
func firstByte(d *json.Decoder) (byte, error) {
	if !d.More() { // reads as far as that
		return 0, io.EOF
	}
	var b [1]byte
	if _, err := d.Buffered().Read(b[:]); err != nil {
		return 0, err
	}
	return b[0], nil
}

func checkField(name string) error {
	if key, ok := strings.CutPrefix(name, attributePrefix); ok {
		return checkAttributeKey(key)
	}
	if name == fieldEnrolment || slices.Contains(plainFields, name) {
		return nil
	}
	return fmt.Errorf("field %.40q: want %s or attr.KEY", name, strings.Join(plainFields, ", "))
}

// Next returns the next SIM, or io.EOF. Errors name the line (of CSV) or the record (of JSON),
// counted from 1, and no key.
func (p *PlainReader) Next() (PlainSIM, error) {
	p.n++
	fields, err := p.next()
	if err == io.EOF {
		return PlainSIM{}, io.EOF
	}
	if err != nil {
		return PlainSIM{}, fmt.Errorf("line or record %d: %w", p.n, err)
	}
	sim, err := plainSIM(fields)
	if err != nil {
		return PlainSIM{}, fmt.Errorf("line or record %d: %w", p.n, err)
	}
	return sim, nil
}

func plainSIM(fields map[string]string) (s PlainSIM, err error) {
	s.ICCID = fields[fieldICCID]
	version, err := strconv.ParseUint(fields[fieldKeyVersion], 16, 8)
	if err != nil {
		return s, fmt.Errorf("%s: want two hexadecimal digits", fieldKeyVersion)
	}
	s.KeyVersion = byte(version)
	for _, field := range []struct { // in the order of the columns, so that the first one that is wrong is named
		name string
		into *[]byte
	}{{fieldDomain, &s.Domain}, {fieldENC, &s.ENC}, {fieldMAC, &s.MAC}, {fieldDEK, &s.DEK}} {
		if *field.into, err = hex.DecodeString(fields[field.name]); err != nil {
			return s, fmt.Errorf("%s: want hexadecimal digits", field.name) // and nothing of the key
		}
		if n := len(*field.into); field.name != fieldDomain && n != simKeySize {
			return s, fmt.Errorf("%s: %d bytes: want %d", field.name, n, simKeySize)
		}
	}
	for name, value := range fields {
		if key, ok := strings.CutPrefix(name, attributePrefix); ok && value != "" {
			if s.Attributes == nil {
				s.Attributes = Attributes{}
			}
			s.Attributes[key] = value
		}
	}
	if secret := fields[fieldEnrolment]; secret != "" {
		hash := EnrolmentHash(s.ICCID, secret)
		s.Enrolment = hash[:]
	}
	sealed := BatchSIM{ICCID: s.ICCID, KeyVersion: s.KeyVersion, Domain: s.Domain, Sealed: []byte{0}, Attributes: s.Attributes}
	return s, sealed.Check()
}
