package natscallout

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nkeys"
)

// The files in [Options.Dir]. The server reads caFile only.
const (
	caFile      = "ca.pem"
	keysDir     = "keys"
	issuerFile  = "issuer.nk"     // signs answers
	calloutFile = "callout.nk"    // the callout's own user
	curveFile   = "encrypt.nk"    // to which the server encrypts requests
	appFile     = "app.nk"        // the application's user
	localCert   = "local-tls.crt" // what clients on this side show in TLS
	localKey    = "local-tls.key"
)

// Keys are the public halves that a server's configuration names.
type Keys struct {
	Issuer  string // an account key
	Callout string // a user key
	Curve   string
	App     string // a user key, whose seed is in keys/app.nk
}

// MakeKeys makes the keys in dir that are not there yet, and a certificate for TLS with which
// the callout and the application connect, and returns the public halves.
func MakeKeys(dir string) (Keys, error) {
	folder := filepath.Join(dir, keysDir)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Keys{}, err
	}
	var k Keys
	for _, one := range []struct {
		file   string
		create func() (nkeys.KeyPair, error)
		public *string
	}{
		{issuerFile, nkeys.CreateAccount, &k.Issuer},
		{calloutFile, nkeys.CreateUser, &k.Callout},
		{curveFile, nkeys.CreateCurveKeys, &k.Curve},
		{appFile, nkeys.CreateUser, &k.App},
	} {
		pair, err := readSeed(filepath.Join(folder, one.file))
		if errors.Is(err, fs.ErrNotExist) {
			pair, err = writeSeed(filepath.Join(folder, one.file), one.create)
		}
		if err == nil {
			*one.public, err = pair.PublicKey()
		}
		if err != nil {
			return Keys{}, err
		}
	}
	return k, makeLocal(filepath.Join(folder, localCert), filepath.Join(folder, localKey))
}

func writeSeed(name string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	pair, err := create()
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed() // the pair's own
	if err != nil {
		return nil, err
	}
	line := append(bytes.Clone(seed), '\n')
	defer clear(line)
	return pair, writeNew(name, line)
}

// writeNew writes a secret into a file that was not there.
func writeNew(name string, content []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		os.Remove(name)
	}
	return err
}

func readSeed(name string) (nkeys.KeyPair, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	seed := text
	for len(seed) > 0 && seed[len(seed)-1] <= ' ' {
		seed = seed[:len(seed)-1]
	}
	parse := nkeys.FromSeed
	if len(seed) > 1 && seed[1] == 'X' {
		parse = nkeys.FromCurveSeed
	}
	pair, err := parse(seed)
	if err != nil {
		return nil, fmt.Errorf("%s: not the seed of an nkey, as \"simroot appserver nats-config\" makes them", name) // what it is stays out of this
	}
	return pair, nil
}

// localLife is how long the certificate of clients on this side is good. Its key does not leave the machine.
const localLife = 10 * 365 * 24 * time.Hour

// makeLocal makes a certificate that vouches for itself, as the server finds it among its CA certificates.
func makeLocal(certFile, keyFile string) error {
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "simroot clients of NATS on this side"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(localLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeNew(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err = writeNew(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if errors.Is(err, fs.ErrExist) { // and no key to it, or we were not here
		err = fmt.Errorf("%s is there and %s was not: remove both", certFile, keyFile)
	}
	return err
}
