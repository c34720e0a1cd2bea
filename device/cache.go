package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/simroot/simroot/iotsafe"
)

// WithCache keeps what was found out about a SIM's credential in a folder, so that the next
// process need not read the object list and certificates again: a cold start up to the first
// signature takes eight exchanges with the SIM instead of twelve, and half of the bytes; the one
// that fills the cache takes one more. The folder is made if it is missing. There is no cache
// without this option.
//
// An entry belongs to an ICCID, an AID, and the version and identifier that the applet gives. It
// holds which key and file the credential is, and its certificate; nothing secret, and
// nothing that is trusted: trust anchors always come from the SIM, so that a device which
// trusts those reads everything all the same, and the cache pays together with [WithRoots].
//
// Before an entry is used, the beginning of the certificate's file on the SIM, up to behind its serial number, is
// compared, so that an outdated entry is noticed before a server sees it. The first
// signature is verified against the certificate. An entry that is outdated, damaged or forged
// costs time, at worst a failed handshake and a call of [Device.Forget]. It is removed by that,
// by an onboarding, and when the SIM refuses the key; a notice of remote administration makes it be written anew.
//
// Several processes may share a folder: an entry is replaced as a whole. A folder keeps up to 64
// SIMs; the one written longest ago goes first.
func WithCache(folder string) Option {
	return func(o *options) { o.cacheDir = folder }
}

const (
	cacheVersion = 1
	maxEntry     = 16 << 10 // bytes; four times what a certificate in a SIM makes
	maxEntries   = 64
	headSize     = 48 // bytes of a certificate that reach behind its serial number (RFC 5280, 4.1.2.2)
)

// cache is a folder of entries. A nil one keeps nothing.
type cache struct{ folder string }

// entry is what is kept of a SIM.
type entry struct {
	Version     int        `json:"version"`
	ICCID       string     `json:"iccid"`
	AID         iotsafe.ID `json:"aid"`
	Applet      string     `json:"applet"` // its version and identifier
	PrivateKey  iotsafe.ID `json:"private_key"`
	PublicKey   iotsafe.ID `json:"public_key"`
	File        iotsafe.ID `json:"file"`
	Certificate []byte     `json:"certificate"`
	Sum         []byte     `json:"sum,omitempty"` // against damage: SHA-256 of the others
}

func (e entry) sum() []byte {
	e.Sum = nil
	b, err := json.Marshal(e)
	if err != nil {
		return nil // which equals no sum
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

func openCache(folder string) (*cache, error) {
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(folder, ".probe*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the cache of what is on SIMs cannot be written; give another folder, or none: %w", err)
	}
	return &cache{folder}, nil
}

func (c *cache) file(d *Device) string {
	return filepath.Join(c.folder, fmt.Sprintf("%s-%X.json", d.iccid, d.applet.AID()))
}

// cached is the credential from the cache; nil if the SIM has to be read. Only a process that
// has had no notice of remote administration uses it.
func (d *Device) cached(ctx context.Context) *Credential {
	if d.cache == nil || d.applet.Generation() > 0 {
		return nil
	}
	e, err := d.cache.load(d)
	if err != nil {
		return nil
	}
	found, err := e.credential()
	if err != nil {
		return nil
	}
	if applet, err := appletVersion(ctx, d.applet); err != nil || applet != e.Applet {
		return nil
	}
	want := e.Certificate[:min(headSize, len(e.Certificate))]
	head, err := d.applet.FileHead(ctx, e.File, len(want))
	if err != nil || !bytes.Equal(head, want) || d.applet.Generation() > 0 {
		return nil
	}
	return found
}

// load reads an entry and takes none that is damaged or not of this SIM.
func (c *cache) load(d *Device) (entry, error) {
	f, err := os.Open(c.file(d))
	if err != nil {
		return entry{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEntry+1))
	if err != nil {
		return entry{}, err
	}
	e, err := parseEntry(b)
	if err == nil && (e.ICCID != string(d.iccid) || string(e.AID) != string(d.applet.AID())) {
		err = errors.New("the entry is of another SIM")
	}
	return e, err
}

func parseEntry(b []byte) (entry, error) {
	if len(b) > maxEntry {
		return entry{}, fmt.Errorf("the entry has more than %d bytes", maxEntry)
	}
	var e entry
	if err := json.Unmarshal(b, &e); err != nil {
		return entry{}, err
	}
	if e.Version != cacheVersion || !bytes.Equal(e.Sum, e.sum()) {
		return entry{}, errors.New("the entry is damaged or of another version")
	}
	return e, errors.Join(e.PrivateKey.Check(), e.PublicKey.Check(), e.File.Check())
}

// credential is the entry's, if it can be one that is good now.
func (e entry) credential() (*Credential, error) {
	certificate, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return nil, err
	}
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() || certificate.IsCA || time.Now().After(certificate.NotAfter) {
		return nil, errors.New("the certificate is none for a device, or has expired")
	}
	return &Credential{PrivateKey: e.PrivateKey, PublicKey: e.PublicKey, Certificate: certificate}, nil
}

// appletVersion is what an applet says of its own version, as text.
func appletVersion(ctx context.Context, applet *iotsafe.Applet) (string, error) {
	info, err := applet.Info(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%02X %X", info.Version, info.Identifier), nil
}

// save keeps what was read. That it fails is no reason for a device not to work; the next start
// takes the time that it would have taken anyway.
func (c *cache) save(ctx context.Context, d *Device, store contents) {
	if c == nil {
		return
	}
	applet, err := appletVersion(ctx, d.applet)
	if err != nil {
		return
	}
	e := entry{
		Version: cacheVersion, ICCID: string(d.iccid), AID: iotsafe.ID(d.applet.AID()), Applet: applet,
		PrivateKey: store.credential.PrivateKey, PublicKey: store.credential.PublicKey,
		File: store.file, Certificate: store.credential.Certificate.Raw,
	}
	e.Sum = e.sum()
	if b, err := json.Marshal(e); err == nil && len(b) <= maxEntry {
		_ = c.replace(c.file(d), b)
		c.prune()
	}
}

// replace writes a file as a whole. It is not synced: an entry that a power cut has damaged is
// not used.
func (c *cache) replace(file string, content []byte) error {
	f, err := os.CreateTemp(c.folder, ".new*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// remove gives a SIM's entry up.
func (c *cache) remove(d *Device) {
	if c != nil {
		_ = os.Remove(c.file(d)) // it may not be there
	}
}

// prune removes the oldest entries beyond the bound.
func (c *cache) prune() {
	files, err := filepath.Glob(filepath.Join(c.folder, "*.json"))
	if err != nil || len(files) <= maxEntries {
		return
	}
	written := func(file string) time.Time {
		info, err := os.Stat(file)
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(files, func(a, b string) int { return written(a).Compare(written(b)) })
	for _, file := range files[:len(files)-maxEntries] {
		_ = os.Remove(file) // another process may have done so
	}
}
