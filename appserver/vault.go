package appserver

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
)

// The vault keeps the PSKs of the replica, sealed, in one file. They are opened for a handshake, from
// the file, and wiped after it: the memory of a server holds the secrets of nobody who is not
// shaking hands.
//
// On their way from the platform the secrets are sealed to the middleware's public key (RFC 9180).
// Here they are sealed by a key that is derived from its private key: the file is worth as much
// to a thief, nothing without the private key, and opening costs a hundredth of a handshake.
//
// The file is a row of records: CRC-32C of the rest, the lengths of name and sealed secret in
// bytes (2 + 2, big-endian), the name, and the secret under AES-256-GCM (nonce, text, tag) with the
// name as additional data. Names are IDs of credentials. A record without a secret says that the
// one before is forgotten. The first record is the decoy: a secret that nobody has, under a name
// that no credential has. It also tells whether the file belongs to the key.
//
// What is damaged ends the file: it is cut off, and fetched from the platform again.
type vault struct {
	path string
	aead cipher.AEAD // makes its nonces itself

	mu      sync.RWMutex
	file    *os.File
	size    int64 // of what is sound
	decoy   place
	places  map[secretName]place
	unsaved map[secretName][]byte // records that could not be written
	garbage int64                 // bytes that nobody needs
}

// place is where a record lies in the file.
type place struct {
	at   int64
	size int32
}

// secretName stands for a credential's ID in memory: the beginning of its SHA-256. The file has
// the ID itself.
type secretName [16]byte

func nameOf(id string) secretName {
	sum := sha256.Sum256([]byte(id))
	return secretName(sum[:])
}

const (
	decoyName = "simroot-secrets-1"
	// secretHead is the length of a record before name and secret.
	secretHead = 4 + 2 + 2
	// maxSecretPart bounds a name and a sealed secret, in bytes. A PSK of 32 bytes is 60 when sealed.
	maxSecretPart = 4 << 10
	// secretSize is the length of a PSK that the platform makes, and so of the decoy.
	secretSize = 32
)

// openVault opens the file at path, or begins it. Damage is what was found wrong, and repaired.
func openVault(path string, sealingKey []byte) (v *vault, damage, err error) {
	v = &vault{path: path, places: make(map[secretName]place), unsaved: make(map[secretName][]byte)}
	if v.aead, err = restKey(sealingKey); err != nil {
		return nil, nil, err
	}
	v.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	damage = v.read()
	if damage != nil {
		err = v.file.Truncate(v.size)
	}
	if err == nil && v.size == 0 {
		err = v.begin()
	}
	if err != nil {
		v.file.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, damage, nil
}

// restKey derives the key of the file from the private sealing key.
func restKey(sealingKey []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, sealingKey, nil, "simroot: secrets at rest, AES-256-GCM", 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (v *vault) seal(name string, secret []byte) []byte {
	return v.aead.Seal(nil, nil, secret, []byte(name))
}

func (v *vault) unseal(name string, sealed []byte) ([]byte, error) {
	secret, err := v.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, errors.New("it was sealed by another key or for another credential, or was altered")
	}
	return secret, nil
}

// begin writes the decoy into an empty file.
func (v *vault) begin() (err error) {
	var secret [secretSize]byte
	rand.Read(secret[:]) // never fails (crypto/rand)
	defer clear(secret[:])
	v.decoy, err = v.append(secretRecord(decoyName, v.seal(decoyName, secret[:])))
	return err
}

// read finds the records in the file, and returns what is wrong with the rest.
func (v *vault) read() error {
	in := &countingReader{in: bufio.NewReaderSize(v.file, 1<<20)}
	for first := true; ; first = false {
		at := in.n
		name, sealed, err := readSecret(in)
		if err == io.EOF {
			return nil
		}
		if err == nil && first {
			var decoy []byte
			if decoy, err = v.unseal(decoyName, sealed); err == nil && name != decoyName {
				err = errors.New("its first record is not the decoy")
			}
			clear(decoy)
			v.decoy = place{0, int32(in.n)}
		} else if err == nil {
			v.note(nameOf(name), place{at, int32(in.n - at)}, len(sealed) > 0)
		}
		if err != nil {
			if first {
				v.decoy = place{}
			}
			return fmt.Errorf("from byte %d on: %w", at, err)
		}
		v.size = in.n
	}
}

// note takes a record of the file into account.
func (v *vault) note(name secretName, p place, secret bool) {
	v.garbage += int64(v.places[name].size)
	if secret {
		v.places[name] = p
		return
	}
	v.garbage += int64(p.size)
	delete(v.places, name)
}

type countingReader struct {
	in io.Reader
	n  int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.n += int64(n)
	return n, err
}

// secretRecord is a record as it is in the file.
func secretRecord(name string, sealed []byte) []byte {
	r := make([]byte, 4, secretHead+len(name)+len(sealed))
	r = binary.BigEndian.AppendUint16(r, uint16(len(name)))
	r = binary.BigEndian.AppendUint16(r, uint16(len(sealed)))
	r = append(append(r, name...), sealed...)
	binary.BigEndian.PutUint32(r, crc32.Checksum(r[4:], castagnoli))
	return r
}

// readSecret reads a record; io.EOF means that there is none.
func readSecret(in io.Reader) (name string, sealed []byte, err error) {
	var head [secretHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		if err == io.ErrUnexpectedEOF {
			err = errors.New("cut off")
		}
		return "", nil, err
	}
	n, m := int(binary.BigEndian.Uint16(head[4:])), int(binary.BigEndian.Uint16(head[6:]))
	if n == 0 || n > maxSecretPart || m > maxSecretPart {
		return "", nil, fmt.Errorf("a record of %d and %d bytes, which is never written", n, m)
	}
	body := make([]byte, n+m)
	if _, err := io.ReadFull(in, body); err != nil {
		return "", nil, errors.New("cut off")
	}
	sum := crc32.Update(crc32.Checksum(head[4:], castagnoli), castagnoli, body)
	if sum != binary.BigEndian.Uint32(head[:]) {
		return "", nil, errors.New("checksum differs")
	}
	return string(body[:n]), body[n:], nil
}

// append writes a record at the end of what is sound.
func (v *vault) append(record []byte) (place, error) {
	if _, err := v.file.WriteAt(record, v.size); err != nil {
		return place{}, errors.Join(err, v.file.Truncate(v.size))
	}
	p := place{v.size, int32(len(record))}
	v.size += int64(len(record))
	return p, nil
}

// has tells whether the secret of a credential is there.
func (v *vault) has(id string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	name := nameOf(id)
	_, saved := v.places[name]
	return saved || v.unsaved[name] != nil
}

// put seals a secret and takes it over. It is there in any case; an error says that it is not on disk.
func (v *vault) put(id string, secret []byte) error {
	sealed := v.seal(id, secret)
	if len(id) == 0 || len(id) > maxSecretPart || len(sealed) > maxSecretPart {
		return fmt.Errorf("a secret of %d bytes for %q cannot be kept", len(secret), id)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	name := nameOf(id)
	record := secretRecord(id, sealed)
	p, err := v.append(record)
	if err != nil {
		v.unsaved[name] = record
		return err
	}
	delete(v.unsaved, name)
	v.note(name, p, true)
	for name, record := range v.unsaved { // there is room again
		if p, err = v.append(record); err != nil {
			return nil
		}
		delete(v.unsaved, name)
		v.note(name, p, true)
	}
	return nil
}

// forget drops the secret of a credential.
func (v *vault) forget(id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := nameOf(id)
	delete(v.unsaved, name)
	if _, ok := v.places[name]; !ok {
		return nil
	}
	p, err := v.append(secretRecord(id, nil))
	v.note(name, p, false) // should it come back with the next start, it is dropped then
	return err
}

// lose drops a secret that turned out to be of no use.
func (v *vault) lose(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := nameOf(id)
	v.garbage += int64(v.places[name].size)
	delete(v.places, name)
	delete(v.unsaved, name)
}

// open opens the secret of a credential. Without an ID, and for one that the vault does not have, it
// opens the decoy, which takes as long: known tells which.
func (v *vault) open(id string) (secret []byte, known bool, err error) {
	v.mu.RLock()
	name := nameOf(id)
	p, known := v.places[name]
	record := v.unsaved[name]
	if !known && record == nil {
		p, id = v.decoy, decoyName
	}
	if record == nil {
		record = make([]byte, p.size)
		_, err = v.file.ReadAt(record, p.at)
	} else {
		known = true
	}
	v.mu.RUnlock()
	if err != nil {
		return nil, known, fmt.Errorf("read the sealed secret: %w", err)
	}
	_, sealed, err := readSecret(bytes.NewReader(record))
	if err != nil {
		return nil, known, fmt.Errorf("the sealed secret is damaged: %w", err)
	}
	secret, err = v.unseal(id, sealed)
	return secret, known, err
}

// keep drops what is not among the IDs, calls missing for those whose secret is not there,
// and rewrites the file if most of it is of no use.
func (v *vault) keep(ids iter.Seq[string], missing func(id string)) error {
	wanted := make(map[secretName]struct{})
	for id := range ids {
		wanted[nameOf(id)] = struct{}{}
		if !v.has(id) {
			missing(id)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, p := range v.places {
		if _, ok := wanted[name]; !ok {
			v.garbage += int64(p.size)
			delete(v.places, name)
		}
	}
	for name := range v.unsaved {
		if _, ok := wanted[name]; !ok {
			delete(v.unsaved, name)
		}
	}
	return v.compact()
}

// compact rewrites the file if most of it is of no use, or some of it could not be
// written. The old file stays until the new one is on disk.
func (v *vault) compact() error {
	if len(v.unsaved) == 0 && (v.garbage < minGarbage || v.garbage < v.size/2) {
		return nil
	}
	next, err := v.rewritten()
	if err == nil {
		if err = errors.Join(next.file.Sync(), os.Rename(next.file.Name(), v.path)); err != nil {
			next.file.Close()
			os.Remove(next.file.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("rewrite the sealed secrets: %w", err)
	}
	v.file.Close()
	v.file, v.size, v.decoy, v.places, v.garbage = next.file, next.size, next.decoy, next.places, 0
	clear(v.unsaved)
	return syncDir(filepath.Dir(v.path))
}

// minGarbage is how many bytes of no use are not worth rewriting the file.
const minGarbage = 1 << 20

// rewritten is a new file with what is of use.
func (v *vault) rewritten() (next *vault, err error) {
	file, err := os.CreateTemp(filepath.Dir(v.path), filepath.Base(v.path)+".*.new")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
		}
	}()
	next = &vault{file: file, places: make(map[secretName]place, len(v.places)+len(v.unsaved))}
	move := func(p place) (place, error) {
		record := make([]byte, p.size)
		if _, err := v.file.ReadAt(record, p.at); err != nil {
			return place{}, err
		}
		return next.append(record)
	}
	if next.decoy, err = move(v.decoy); err != nil {
		return nil, err
	}
	for name, p := range v.places {
		if next.places[name], err = move(p); err != nil {
			return nil, err
		}
	}
	for name, record := range v.unsaved {
		if next.places[name], err = next.append(record); err != nil {
			return nil, err
		}
	}
	return next, nil
}

func (v *vault) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return errors.Join(v.file.Sync(), v.file.Close())
}
