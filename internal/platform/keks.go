package platform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/kms"
)

// The file keys/keks lists the key-encryption keys by URI, one a line. New secrets go under the
// first; the others only open. A key in a file of the folder keys is file:NAME, any other what
// package kms opens. Without the list there is one key, file:kek.key.
const (
	fileScheme = "file:"
	defaultKEK = fileScheme + "kek.key"
)

// namedKEK is a key-encryption key with the URI it was opened by.
type namedKEK struct {
	envelope.KEK
	uri string
}

// readKEKs reads the list.
func readKEKs(dir folder) ([]string, error) {
	text, err := keyfile.Read(dir.keks())
	if errors.Is(err, fs.ErrNotExist) {
		return []string{defaultKEK}, nil
	}
	if err != nil {
		return nil, err
	}
	var uris []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			uris = append(uris, line)
		}
	}
	if len(uris) == 0 {
		return nil, fmt.Errorf("%s names no key-encryption key", dir.keks())
	}
	return uris, nil
}

// writeKEKs puts another list in the place of the one there is.
func writeKEKs(dir folder, uris []string) error {
	return keyfile.Replace(dir.keks(), []byte(strings.Join(uris, "\n")+"\n"))
}

// openKEK opens a key, which with create is made if a PKCS#11 token does not hold it.
func openKEK(ctx context.Context, dir folder, safe keyfile.Safe, uri string, create bool) (namedKEK, error) {
	if name, ok := strings.CutPrefix(uri, fileScheme); ok {
		if name != filepath.Base(name) {
			return namedKEK{}, fmt.Errorf("key-encryption key %s: want a file of the folder %s, by its name alone", uri, dir.keys())
		}
		kek, err := envelope.OpenFileKEK(filepath.Join(dir.keys(), name), safe)
		return namedKEK{kek, uri}, err
	}
	decrypter, err := kms.Decrypter(ctx, uri, create)
	if err != nil {
		return namedKEK{}, err
	}
	kek, err := envelope.NewRSAKEK(decrypter)
	return namedKEK{kek, uri}, err
}

// openKEKs opens all keys of a list; those in known are taken from there.
func openKEKs(ctx context.Context, dir folder, safe keyfile.Safe, uris []string, known []namedKEK) ([]namedKEK, error) {
	var all []namedKEK
next:
	for _, uri := range uris {
		for _, k := range known {
			if k.uri == uri {
				all = append(all, k)
				continue next
			}
		}
		k, err := openKEK(ctx, dir, safe, uri, false)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// use has an envelope use the keys, the first for what is new.
func use(e *envelope.Envelope, all []namedKEK) {
	others := make([]envelope.KEK, len(all)-1)
	for i, k := range all[1:] {
		others[i] = k.KEK
	}
	e.Use(all[0].KEK, others...)
}

// AddKEK makes a further key-encryption key known to the platform in dir, which opens secrets
// and with current also takes the new ones; those that are under other keys follow in time. An
// empty URI makes a key in a new file. A platform that is running hears of it within seconds. It
// returns the key's ID and its URI without what may be secret in it.
//
// Where several nodes serve a platform, each must know a key before one of them makes it current.
func AddKEK(dir, uri string, current bool, o Options) (id envelope.KEKID, name string, err error) {
	o = o.withDefaults()
	f := folder(dir)
	if !Initialized(dir) {
		return id, "", fmt.Errorf("%s: %w", dir, ErrNoPlatform)
	}
	uris, err := readKEKs(f)
	if err != nil {
		return id, "", err
	}
	if uri == "" {
		if uri, err = createKEK(f, o.safe()); err != nil {
			return id, "", err
		}
	}
	kek, err := openKEK(context.Background(), f, o.safe(), uri, true)
	if err != nil {
		return id, "", err
	}
	list := []string{uri}
	for _, known := range uris {
		if known != uri {
			list = append(list, known)
		}
	}
	if !current && uris[0] != uri { // behind the one that is
		list = append(append(uris[:1:1], uri), list[2:]...)
	}
	return kek.ID(), kms.Name(uri), writeKEKs(f, list)
}

// createKEK makes a key in a new file, which is named after it.
func createKEK(dir folder, safe keyfile.Safe) (uri string, err error) {
	for n := 2; ; n++ {
		name := fmt.Sprintf("kek-%d.key", n)
		_, err := envelope.CreateFileKEK(filepath.Join(dir.keys(), name), safe)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		return fileScheme + name, err
	}
}

// sameList tells whether the list is what the keys were opened from.
func sameList(uris []string, all []namedKEK) bool {
	var now []byte
	for _, k := range all {
		now = append(append(now, k.uri...), '\n')
	}
	return bytes.Equal(now, []byte(strings.Join(uris, "\n")+"\n"))
}
