package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/rig"
)

// How much is enrolled in a round, and how often the servers take turns.
const (
	enrolments      = 800
	enrolmentRounds = 6
)

// call is one request for a certificate, ready to be sent.
type call struct {
	path, contentType, user, password string
	body                              []byte
}

// contestant is a server that gives certificates.
type contestant struct {
	url   string
	roots *x509.CertPool
	calls func(n int) ([]call, error)
	pid   int
}

// enrolmentRate has the platform and others enrol, in turns, each server in a process of its own and
// all clients in this one. With step-ca, clients keep their connections, and both sides write to disk
// before they answer; GlobalSign's server stores nothing, and every request comes on a connection of its own.
func enrolmentRate(ctx context.Context, _ *rig.Rig, dir string) (rows []row, err error) {
	var stops []func() error
	defer func() {
		for _, stop := range stops {
			err = errors.Join(err, stop())
		}
	}()
	var made []*contestant
	for _, start := range []func(context.Context, string) (*contestant, func() error, error){startPlatform, startStepCA, startESTServer} {
		c, stop, err := start(ctx, dir)
		if err != nil {
			return nil, err
		}
		made, stops = append(made, c), append(stops, stop)
	}
	ours, stepCA, memory := made[0], made[1], made[2]
	for _, race := range []struct {
		what    string
		theirs  *contestant
		clients int
		fresh   bool
		goal    string
	}{
		{"EST simpleenroll, stored, against step-ca's sign, 16 connections", stepCA, 16, false, "≥ 1.3 ×, p99 no worse"},
		{"EST simpleenroll, stored, against step-ca's sign, 64 connections", stepCA, 64, false, "≥ 1.3 ×, p99 no worse"},
		{"EST simpleenroll, stored, a connection each, against GlobalSign's server that stores nothing, 64 at once", memory, 64, true, "≥ 2000/s or ≥ 0.8 ×"},
	} {
		text, err := compare(ctx, ours, race.theirs, race.clients, race.fresh)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", race.what, err)
		}
		rows = append(rows, row{race.what, text, race.goal})
	}
	return rows, nil
}

// compare lets two take turns.
func compare(ctx context.Context, ours, theirs *contestant, clients int, fresh bool) (string, error) {
	var rates, tails [2][]float64
	var rateRatios, tailRatios []float64
	var used [2]time.Duration
	for round := range enrolmentRounds {
		var rate, tail [2]float64
		for i, c := range []*contestant{ours, theirs} {
			calls, err := c.calls(enrolments)
			if err != nil {
				return "", err
			}
			before, err := realparts.ProcessorTime(c.pid)
			if err != nil {
				return "", err
			}
			took, lasted, err := c.run(ctx, calls, clients, fresh)
			if err != nil {
				return "", err
			}
			after, err := realparts.ProcessorTime(c.pid)
			if err != nil {
				return "", err
			}
			if round > 0 {
				used[i] += after - before
			}
			rate[i], tail[i] = float64(len(calls))/lasted.Seconds(), quantile(took, 0.99)
		}
		if round == 0 { // to warm up
			continue
		}
		for i := range rate {
			rates[i], tails[i] = append(rates[i], rate[i]), append(tails[i], tail[i])
		}
		rateRatios, tailRatios = append(rateRatios, rate[0]/rate[1]), append(tailRatios, tail[0]/tail[1])
	}
	const n = enrolments * (enrolmentRounds - 1)
	return fmt.Sprintf("%.0f/s against %.0f/s: %.2f ×; p99 %.0f ms against %.0f ms: %.2f ×; the server's processor time each %.2f ms against %.2f ms",
		median(rates[0]), median(rates[1]), median(rateRatios), median(tails[0]), median(tails[1]), median(tailRatios), ms(used[0])/n, ms(used[1])/n), nil
}

// run sends calls, each client over one connection or each call over its own, and returns how long
// each took, in milliseconds, and all together.
func (c *contestant) run(ctx context.Context, calls []call, clients int, fresh bool) (took []float64, lasted time.Duration, err error) {
	took = make([]float64, len(calls))
	var next atomic.Int64
	var group sync.WaitGroup
	failures := make([]error, clients)
	ready, start := make(chan error, clients), make(chan struct{})
	for i := range clients {
		group.Go(func() {
			// Each from an address of its own, as devices come: the platform limits what one may ask.
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}}
			over := &http.Transport{DisableKeepAlives: fresh, MaxConnsPerHost: 1, DialContext: dialer.DialContext,
				TLSClientConfig: &tls.Config{RootCAs: c.roots, CurvePreferences: []tls.CurveID{tls.CurveP256}}}
			defer over.CloseIdleConnections()
			client := &http.Client{Transport: over}
			if !fresh { // connected before the clock runs
				answer, err := client.Get(c.url + "/health")
				if err == nil {
					_, err = io.Copy(io.Discard, answer.Body)
					err = errors.Join(err, answer.Body.Close())
				}
				ready <- err
			} else {
				ready <- nil
			}
			<-start
			for {
				n := int(next.Add(1)) - 1
				if n >= len(calls) || failures[i] != nil {
					return
				}
				begun := time.Now()
				failures[i] = calls[n].send(ctx, client, c.url)
				took[n] = ms(time.Since(begun))
			}
		})
	}
	for range clients {
		err = errors.Join(err, <-ready)
	}
	begun := time.Now()
	close(start)
	group.Wait()
	return took, time.Since(begun), errors.Join(append(failures, err)...)
}

func (c call) send(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+c.path, bytes.NewReader(c.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", c.contentType)
	if c.user != "" {
		r.SetBasicAuth(c.user, c.password)
	}
	if c.contentType == "application/pkcs10" { // GlobalSign's server wants to be told
		r.Header.Set("Content-Transfer-Encoding", "base64")
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return err
}

// newRequest makes a certificate request with a key of its own, in DER.
func newRequest(subject pkix.Name) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
}

// platformCalls are enrolments of SIMs with the one-time secrets of their batch.
func platformCalls(ctx context.Context, admin *api.Client) func(int) ([]call, error) {
	known := 0
	return func(n int) ([]call, error) {
		key, err := admin.TransportKey(ctx)
		if err != nil {
			return nil, err
		}
		var batch bytes.Buffer
		writer, err := api.NewBatchWriter(&batch, key.Key)
		if err != nil {
			return nil, err
		}
		calls := make([]call, n)
		for i := range calls {
			number, secret := iccid(known+i, "meters"), rand.Text()
			hash := api.EnrolmentHash(number, secret)
			if err := writer.Add(api.PlainSIM{ICCID: number, KeyVersion: 0x30, Domain: make([]byte, 8),
				ENC: make([]byte, 16), MAC: make([]byte, 16), DEK: make([]byte, 16), Enrolment: hash[:]}); err != nil {
				return nil, err
			}
			der, err := newRequest(pkix.Name{SerialNumber: number})
			if err != nil {
				return nil, err
			}
			calls[i] = call{"/.well-known/est/meters/simpleenroll", "application/pkcs10", number, secret, []byte(base64.StdEncoding.EncodeToString(der))}
		}
		known += n
		if err := writer.Close(); err != nil {
			return nil, err
		}
		_, err = admin.Import(ctx, "meters", &batch)
		return calls, err
	}
}

// stepCACalls are requests with one-time tokens, signed by the key of a provisioner.
func stepCACalls(url string, key *ecdsa.PrivateKey) func(int) ([]call, error) {
	return func(n int) ([]call, error) {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: provisioner}}, nil)
		if err != nil {
			return nil, err
		}
		calls := make([]call, n)
		for i := range calls {
			name := rand.Text()
			der, err := newRequest(pkix.Name{CommonName: name})
			if err != nil {
				return nil, err
			}
			now := time.Now()
			token, err := jwt.Signed(signer).Claims(map[string]any{
				"aud": url + "/1.0/sign", "iss": provisioner, "sub": name, "sans": []string{name}, "jti": rand.Text(),
				"iat": now.Unix(), "nbf": now.Add(-time.Second).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			}).Serialize()
			if err != nil {
				return nil, err
			}
			body, err := json.Marshal(map[string]string{"ott": token,
				"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
			if err != nil {
				return nil, err
			}
			calls[i] = call{path: "/1.0/sign", contentType: "application/json", body: body}
		}
		return calls, nil
	}
}

// memoryCalls are requests of anybody.
func memoryCalls(n int) ([]call, error) {
	calls := make([]call, n)
	for i := range calls {
		der, err := newRequest(pkix.Name{CommonName: rand.Text()})
		if err != nil {
			return nil, err
		}
		calls[i] = call{path: "/.well-known/est/simpleenroll", contentType: "application/pkcs10", body: []byte(base64.StdEncoding.EncodeToString(der))}
	}
	return calls, nil
}

// in is a file of the measurement.
func in(dir, name string) string { return filepath.Join(dir, name) }
