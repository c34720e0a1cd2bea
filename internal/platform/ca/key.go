package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/softkms"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/kms"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// errNoKey is what the outside hears of a key that is not here.
var errNoKey error = refuse.With(api.CodeInternal, http.StatusServiceUnavailable, "this node of the platform cannot sign now; its log tells why: ask again, or another node")

// lackError says to those who run the platform which key is not here, and to the outside [errNoKey].
type lackError struct {
	number       int
	name, folder string
	why          error
}

func (e *lackError) Error() string {
	return fmt.Sprintf("this node lacks the key of CA %d (%s): copy the folder %s here from the node where the rollover was begun; if the key is in a token or a cloud, see that its URI in %s is good here: %v",
		e.number, e.name, e.folder, issuingURIFile, e.why)
}

func (e *lackError) Unwrap() []error { return []error{errNoKey, e.why} }

// lackingKey stands in the place of a key that this node has not. It signs nothing, and says why.
type lackingKey struct {
	public crypto.PublicKey
	why    error
}

// Public implements [crypto.Signer].
func (k lackingKey) Public() crypto.PublicKey { return k.public }

// Sign implements [crypto.Signer].
func (k lackingKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, k.why }

// withKey looks for the issuing key of a generation that has none, if its folder has changed since it
// was looked for last: a token must not be asked over and over with a wrong PIN.
func (c *CA) withKey(g *generation) *generation {
	folder := c.folder(g.number)
	found := stamp(folder)
	if g.signer != nil && (g.lacks == nil || g.looked == found) {
		return g
	}
	with := *g
	with.looked, with.lacks = found, nil
	var err error
	if with.signer, err = openKey(folder, c.safe, g.root, g.issuer); err != nil {
		with.lacks = &lackError{g.number, g.root.Subject.CommonName, folder, err}
		with.signer = lackingKey{g.issuer.PublicKey, with.lacks}
	}
	return &with
}

// stamp tells two states of a folder's files apart.
func stamp(folder string) (s string) {
	for _, name := range []string{rootFile, issuingFile, issuingKeyFile, issuingURIFile} {
		if info, err := os.Stat(filepath.Join(folder, name)); err == nil {
			s += fmt.Sprintf("%s %d %s\n", name, info.Size(), info.ModTime())
		}
	}
	return s
}

// openKey opens the issuing key in a folder, which must be that of these certificates: the folder vouches for
// what the database says of the CA.
func openKey(folder string, safe keyfile.Safe, root, issuer *x509.Certificate) (crypto.Signer, error) {
	for name, want := range map[string]*x509.Certificate{rootFile: root, issuingFile: issuer} {
		have, err := readCertificate(filepath.Join(folder, name))
		if err == nil && !have.Equal(want) {
			err = fmt.Errorf("%s is that of another CA than the database's", filepath.Join(folder, name))
		}
		if err != nil {
			return nil, err
		}
	}
	signer, err := openIssuingKey(folder, safe)
	if err != nil {
		return nil, err
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(issuer.PublicKey) {
		return nil, fmt.Errorf("the issuing key is not the key of %s", issuingFile)
	}
	return signer, nil
}

// openIssuingKey opens the issuing key, which is where the folder says or in it.
func openIssuingKey(dir string, safe keyfile.Safe) (crypto.Signer, error) {
	keyURI, err := keyfile.Read(filepath.Join(dir, issuingURIFile))
	if err == nil {
		return kms.Signer(context.Background(), strings.TrimSpace(string(keyURI)), false)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := safe.Read(filepath.Join(dir, issuingKeyFile))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	signer, err := new(softkms.SoftKMS).CreateSigner(&apiv1.CreateSignerRequest{SigningKeyPEM: key})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", issuingKeyFile, err)
	}
	return signer, nil
}
