package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform"
)

// provisioner is the name of the one that step-ca has.
const provisioner = "bench"

// startPlatform serves a platform of its own in a process of its own.
func startPlatform(ctx context.Context, dir string) (*contestant, func() error, error) {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", in(dir, "simroot"), "./cmd/simroot").CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("build simroot: %w\n%s", err, out)
	}
	data := in(dir, "enrolling")
	token, err := platform.Init(data, platform.Options{})
	if err != nil {
		return nil, nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	pid, stop, err := launch(ctx, address, dir, in(dir, "simroot"), "platform", "serve", "--data", data, "--listen", address)
	if err != nil {
		return nil, nil, err
	}
	roots, err := api.LoadRoots(in(data, "ca.pem"))
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	url := "https://" + address
	admin, err := api.NewClient(url, api.ClientOptions{Token: token, RootCAs: roots})
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	fleet := api.Fleet{Name: "meters", Profile: api.Profile{EST: &api.EST{}}.WithDefaults()}
	if _, err := admin.CreateFleet(ctx, fleet); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return &contestant{url, roots, platformCalls(ctx, admin), pid}, func() error { admin.Close(); return stop() }, nil
}

// startStepCA serves a CA of step-ca as it comes: with its badger store, which syncs, and a
// provisioner that takes one-time tokens.
func startStepCA(ctx context.Context, dir string) (*contestant, func() error, error) {
	out, err := exec.CommandContext(ctx, "scripts/stepca").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("build step-ca: %w", err)
	}
	ca, err := newAuthority(dir, "step")
	if err != nil {
		return nil, nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	config, err := json.Marshal(map[string]any{
		"root": ca.certificate, "crt": ca.certificate, "key": ca.key, "address": address, "dnsNames": []string{"127.0.0.1"},
		"logger": map[string]any{"format": "text"},
		"db":     map[string]any{"type": "badgerv2", "dataSource": in(dir, "step-db")},
		"authority": map[string]any{"provisioners": []any{map[string]any{
			"type": "JWK", "name": provisioner,
			"key": jose.JSONWebKey{Key: key.Public(), KeyID: provisioner, Algorithm: string(jose.ES256), Use: "sig"},
		}}},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(in(dir, "ca.json"), config, 0o600); err != nil {
		return nil, nil, err
	}
	pid, stop, err := launch(ctx, address, dir, strings.TrimSpace(string(out)), in(dir, "ca.json"))
	url := "https://" + address
	return &contestant{url, ca.pool, stepCACalls(url, key), pid}, stop, err
}

// startESTServer serves GlobalSign's, whose CA is in memory.
func startESTServer(ctx context.Context, dir string) (*contestant, func() error, error) {
	build := exec.CommandContext(ctx, "go", "build", "-o", in(dir, "estserver"), "github.com/globalsign/est/cmd/estserver")
	build.Dir = "internal/e2e/judges/globalsign"
	if out, err := build.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("build estserver: %w\n%s", err, out)
	}
	ca, err := newAuthority(dir, "memory")
	if err != nil {
		return nil, nil, err
	}
	// Its own certificate stands below an issuing CA, as the platform's does: a client has as much to check.
	issuing, err := ca.issuing(dir)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := issuing.server(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := leaf.chain(issuing); err != nil {
		return nil, nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	config, err := json.Marshal(map[string]any{
		"mock_ca":  map[string]any{"certificates": ca.certificate, "private_key": ca.key},
		"tls":      map[string]any{"listen_address": address, "certificates": leaf.certificate, "private_key": leaf.key, "client_cas": []string{ca.certificate}},
		"log_file": os.DevNull, "timeout": 30,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(in(dir, "estserver.json"), config, 0o600); err != nil {
		return nil, nil, err
	}
	pid, stop, err := launch(ctx, address, dir, in(dir, "estserver"), "-config", in(dir, "estserver.json"))
	return &contestant{"https://" + address, ca.pool, memoryCalls, pid}, stop, err
}

// launch starts a program and waits until it listens.
func launch(ctx context.Context, address, dir, program string, args ...string) (pid int, stop func() error, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stderr = &said // what they say goes to memory: a terminal or a pipe would slow them
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	stop = func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		_ = cmd.Wait() // some do not call this a good end
		return nil
	}
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			return cmd.Process.Pid, stop, c.Close()
		}
	}
	return 0, nil, errors.Join(fmt.Errorf("%s does not serve", program), stop(), errors.New(said.String()))
}

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// pair is a key and its certificate, in files.
type pair struct {
	certificate, key string
	leaf             *x509.Certificate
	private          *ecdsa.PrivateKey
	pool             *x509.CertPool
}

// newAuthority makes a CA on P-256, as the platform's is.
func newAuthority(dir, name string) (pair, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	return newPair(dir, name, template, nil)
}

// issuing makes a CA below another.
func (ca pair) issuing(dir string) (pair, error) {
	return newPair(dir, "issuing", &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "issuing"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, &ca)
}

// chain puts the certificate of a CA behind that of a server, in its file.
func (p pair) chain(ca pair) error {
	f, err := os.OpenFile(p.certificate, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: ca.leaf.Raw}), f.Close())
}

// server makes a certificate for a server on loopback.
func (ca pair) server(dir string) (pair, error) {
	return newPair(dir, "server", &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &ca)
}

func newPair(dir, name string, template *x509.Certificate, by *pair) (p pair, err error) {
	p.certificate, p.key = in(dir, name+".crt"), in(dir, name+".key")
	if p.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return p, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if by == nil {
		by = &pair{leaf: template, private: p.private}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.leaf, p.private.Public(), by.private)
	if err != nil {
		return p, err
	}
	if p.leaf, err = x509.ParseCertificate(der); err != nil {
		return p, err
	}
	p.pool = x509.NewCertPool()
	p.pool.AddCert(p.leaf)
	private, err := x509.MarshalPKCS8PrivateKey(p.private)
	if err != nil {
		return p, err
	}
	return p, errors.Join(
		os.WriteFile(p.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}
