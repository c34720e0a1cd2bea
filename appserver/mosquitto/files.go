package mosquitto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/beside"
)

// The files in the adapter's directory.
const (
	caFile            = "ca.crt"      // trust anchors and issuing CAs
	crlFile           = "crl.pem"     // what the CAs have revoked
	accessFile        = "access.acl"  // what devices may do
	controlAccessFile = "control.acl" // what the adapter may do with messages: nothing
	pskFile           = "psk.txt"     // identities and keys
	controlSocket     = "control.sock"
)

// anyTopic lets devices use every topic, as Mosquitto does without rules.
const anyTopic = "pattern readwrite #\n"

// nothing is an acl_file that allows nothing.
const nothing = "# Nothing is allowed.\n"

// Files implements [beside.Server].
func (b *broker) Files(s beside.State) ([]beside.File, error) {
	var files []beside.File
	trusted, err := s.Trusted()
	if trusted != nil {
		files = append(files, beside.File{Name: caFile, Content: trusted})
	}
	if s.CRLs != nil {
		files = append(files, beside.File{Name: crlFile, Content: s.CRLs})
	}
	barred := s.Barred
	if b.psk {
		keys, cut, failed := b.keys()
		err = errors.Join(err, failed)
		files = append(files, beside.File{Name: pskFile, Content: keys, Secret: true})
		barred = append(barred, cut...)
	}
	access := []byte(nothing)
	if !s.Cut {
		access = accessRules(b.access, barred)
	}
	return append(files,
		beside.File{Name: accessFile, Content: access},
		beside.File{Name: controlAccessFile, Content: []byte(nothing)}), err
}

// accessRules bars users from every topic. Mosquitto asks denials of a user first.
func accessRules(rules string, barred []string) []byte {
	var text strings.Builder
	text.WriteString(strings.TrimRight(rules, "\n") + "\n")
	for _, user := range barred {
		if presentable(user) {
			text.WriteString("\nuser " + user + "\ntopic deny #\ntopic deny $SYS/#\n")
		}
	}
	return []byte(text.String())
}

// keys is the content of the psk_file: the PSKs that are accepted and whose secret is here. Cut are the
// identities that are to be heard no more, for a device may have done its handshake
// before and send its CONNECT after.
func (b *broker) keys() (text []byte, cut []string, err error) {
	var out bytes.Buffer
	for s := range b.m.Standings() {
		switch {
		case s.PSKIdentity == "":
		case !presentable(s.PSKIdentity):
			err = errors.Join(err, fmt.Errorf("the PSK of credential %s is left out: a psk_file cannot hold its identity %q", s.Credential, s.PSKIdentity))
		case s.Cut != nil:
			cut = append(cut, s.PSKIdentity)
		case s.Refused == nil:
			secret, refusal, failed := b.m.RevealPSK([]byte(s.PSKIdentity))
			if failed == nil && refusal == nil {
				out.WriteString(s.PSKIdentity + ":")
				line := out.AvailableBuffer()
				out.Write(hex.AppendEncode(line, secret))
				out.WriteByte('\n')
			} else if !errors.Is(refusal, appserver.ErrSecretMissing) { // its arrival is told
				err = errors.Join(err, failed)
			}
			clear(secret)
		}
	}
	return out.Bytes(), cut, err
}

// presentable tells whether a name can stand in the broker's files and topics as it is.
func presentable(name string) bool {
	for _, r := range name {
		if r <= ' ' || r > '~' || strings.ContainsRune(":#+/", r) {
			return false
		}
	}
	return name != "" && name[0] != '$'
}
