package mosquitto

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/simroot/simroot/card"
)

// anyTopic lets devices use every topic, as Mosquitto does without rules.
const anyTopic = "pattern readwrite #\n"

// replace writes a file of the directory in one step, and tells whether its content is new.
func (a *Adapter) replace(name string, content []byte) (changed bool, err error) {
	path := filepath.Join(a.dir, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return false, nil
	}
	file, err := os.CreateTemp(a.dir, name+".*.new")
	if err != nil {
		return false, err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err == nil, err
}

// writeCAs fetches the CA certificates: OpenSSL needs those of the issuing CAs as well,
// for a SIM may show its own certificate only.
func (a *Adapter) writeCAs(ctx context.Context) (changed bool, err error) {
	roots, err := a.platform.TrustAnchors(ctx)
	if err != nil {
		return false, fmt.Errorf("fetch the trust anchors: %w", err)
	}
	issuers, err := a.platform.Issuers(ctx)
	if err != nil {
		return false, fmt.Errorf("fetch the issuing CAs: %w", err)
	}
	a.issuers = nil
	for rest := issuers; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return false, fmt.Errorf("issuing CA: %w", err)
		}
		a.issuers = append(a.issuers, c)
	}
	both := append(append(bytes.Clone(bytes.TrimSpace(roots)), '\n'), issuers...)
	return a.replace(caFile, both)
}

// writeCRL fetches the CRL, and notes when it must be fetched again.
func (a *Adapter) writeCRL(ctx context.Context) (changed bool, err error) {
	der, err := a.platform.CRL(ctx)
	if err != nil {
		return false, fmt.Errorf("fetch the CRL: %w", err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return false, fmt.Errorf("CRL: %w", err)
	}
	if err := a.checkCRL(list); err != nil {
		return false, err
	}
	if changed, err = a.replace(crlFile, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})); err == nil {
		a.crlEnds = list.NextUpdate
	}
	return changed, err
}

// checkCRL refuses a CRL with which the broker would refuse every device: one of a CA
// that it does not know, or one that is past its end.
func (a *Adapter) checkCRL(list *x509.RevocationList) error {
	if !list.NextUpdate.IsZero() && list.NextUpdate.Before(time.Now()) {
		return fmt.Errorf("CRL: it ended at %s: check the clocks of platform and server", list.NextUpdate)
	}
	for _, issuer := range a.issuers {
		if list.CheckSignatureFrom(issuer) == nil {
			return nil
		}
	}
	return fmt.Errorf("CRL: it is not signed by an issuing CA of the platform")
}

// writeAccess bars SIMs from every topic. Mosquitto asks denials of a user first.
func (a *Adapter) writeAccess(barred []string) (changed bool, err error) {
	var b strings.Builder
	b.WriteString(strings.TrimRight(a.access, "\n") + "\n")
	for _, iccid := range barred {
		if _, err := card.ParseICCID(iccid); err != nil {
			continue // no user of the broker, and perhaps more than one line
		}
		b.WriteString("\nuser " + iccid + "\ntopic deny #\ntopic deny $SYS/#\n")
	}
	return a.replace(accessFile, []byte(b.String()))
}
