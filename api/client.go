package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Client speaks to a platform. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// ClientOptions configures a [Client].
type ClientOptions struct {
	// Token is the bearer token; the relay and the public paths need none.
	Token string
	// RootCAs are the certificates that the platform's own TLS certificate must chain
	// to; nil means those of the system.
	RootCAs *x509.CertPool
	// Certificate is called for every connection and returns the certificate by which an
	// application server identifies itself, in the place of a token; nil: there is none.
	Certificate func() (*tls.Certificate, error)
}

// maxAnswer bounds an answer that is read at once, in bytes.
const maxAnswer = 16 << 20

// NewClient returns a client for the platform at base, an https URL.
func NewClient(base string, o ClientOptions) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("platform URL %q: want https://HOST[:PORT]", base)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	if o.Certificate != nil {
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return o.Certificate()
		}
	}
	transport.MaxIdleConnsPerHost = 64
	// A device says a few words and leaves: HTTP/2 only costs it, by half of a round trip.
	transport.ForceAttemptHTTP2 = false
	return &Client{base: u, token: o.Token, http: &http.Client{Transport: transport}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// LoadRoots reads trust anchors in PEM from a file.
func LoadRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// call sends in as JSON (nil: no body) and decodes the answer into out (nil: ignored).
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	answer, err := c.send(ctx, method, path, query, "application/json", body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return read(answer.Body, method, path, out)
}

// read decodes a successful answer into out (nil: ignored; *[]byte: as it is).
func read(body io.Reader, method, path string, out any) (err error) {
	body = io.LimitReader(body, maxAnswer)
	switch out := out.(type) {
	case nil:
		_, err = io.Copy(io.Discard, body)
	case *[]byte:
		*out, err = io.ReadAll(body)
	default:
		if err := json.NewDecoder(body).Decode(out); err != nil {
			return fmt.Errorf("platform: %s %s: answer is not what this version expects: %w", method, path, err)
		}
	}
	return err
}

// send makes a request and returns a successful answer, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) (*http.Response, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok && method != http.MethodGet {
		request.Header.Set(HeaderIdempotencyKey, key)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, decodeError(answer)
}

func decodeError(answer *http.Response) error {
	e := &Error{}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if json.Unmarshal(text, e) != nil || e.Code == "" {
		e = &Error{Title: strings.TrimSpace(answer.Status), Code: CodeInternal, Detail: "the platform answered " + answer.Status}
	}
	e.Status = answer.StatusCode
	e.RetryAfter = retryAfter(answer.Header)
	return e
}

// retryAfter reads Retry-After in both of its forms (RFC 9110, 10.2.3); 0 if it says nothing of
// use. A date is taken against the answer's own Date where there is one: a device's
// clock may be wrong.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, until.Sub(now))
}
