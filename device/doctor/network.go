package doctor

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/simroot/simroot/psktls"
)

const (
	// reachTime bounds reaching a machine, and afterwordTime how long a server may take to
	// refuse a client after a handshake of TLS 1.3, which is over for the client by then.
	reachTime     = 15 * time.Second
	afterwordTime = time.Second
)

// platformAnswer is what the platform said when it was asked for the time.
type platformAnswer struct {
	date time.Time // its own
	now  time.Time // by the device's clock when it came
	err  error
}

// ask asks the platform for the time, once.
func (p *patient) ask(ctx context.Context) *platformAnswer {
	if p.asked == nil {
		p.asked = p.askPlatform(ctx)
	}
	return p.asked
}

// askPlatform takes the time from the answer to any request. The certificate's dates are not
// looked at, because a wrong clock is what is to be found out; everything else is.
func (p *patient) askPlatform(ctx context.Context) *platformAnswer {
	u, err := url.Parse(p.Platform)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return &platformAnswer{err: fmt.Errorf("platform URL %q: want https://HOST[:PORT]", p.Platform)}
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // verified below
			MinVersion:         tls.VersionTLS12,
			VerifyConnection: func(s tls.ConnectionState) error {
				return verifyAtAnyTime(s.PeerCertificates, u.Hostname(), p.PlatformRoots)
			},
		},
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, p.Platform, nil)
	if err != nil {
		return &platformAnswer{err: err}
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return &platformAnswer{err: err}
	}
	answer.Body.Close()
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return &platformAnswer{err: fmt.Errorf("%s answers without a Date: is it a platform?", p.Platform)}
	}
	return &platformAnswer{date: date, now: p.Now()}
}

// verifyAtAnyTime checks a server's chain and name as they are on the day on which the youngest
// certificate of the chain begins.
func verifyAtAnyTime(chain []*x509.Certificate, host string, roots *x509.CertPool) error {
	o := x509.VerifyOptions{Roots: roots, DNSName: host, Intermediates: x509.NewCertPool()}
	for n, c := range chain {
		if c.NotBefore.After(o.CurrentTime) {
			o.CurrentTime = c.NotBefore
		}
		if n > 0 {
			o.Intermediates.AddCert(c)
		}
	}
	_, err := chain[0].Verify(o)
	return err
}

func platform(ctx context.Context, p *patient) Finding {
	if p.Platform == "" {
		return leftOut("give --platform URL")
	}
	if a := p.ask(ctx); a.err != nil {
		return untrusted(a.err, "platform", "--ca FILE",
			failed(a.err, "the platform cannot be reached, so that the SIM gets no credential and no renewal", "check the URL and the network"))
	}
	return good(p.Platform + " answers")
}

func server(ctx context.Context, p *patient) Finding {
	if p.Server == "" {
		return leftOut("give --server HOST:PORT")
	}
	conn, err := dial(ctx, p.Server)
	if err != nil {
		return failed(err, "the server cannot be reached", "check address, port and firewalls: many mobile networks let only some ports through")
	}
	conn.Close()
	return good(p.Server + " accepts connections")
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: reachTime}
	return d.DialContext(ctx, "tcp", address)
}

func handshake(ctx context.Context, p *patient) Finding {
	if p.Server == "" {
		return leftOut("give --server HOST:PORT")
	}
	if p.typeII && p.identity == "" {
		return leftOut("the SIM does not name the identity of its key: give --psk-identity NAME, under which the server knows it")
	}
	if !p.typeII {
		if err := p.sign(ctx); err != nil {
			return failed(err, "the SIM holds a certificate and does not sign with its key", "onboard the SIM again: simroot device onboard --card "+p.Card+" --platform URL")
		}
	}
	raw, err := dial(ctx, p.Server)
	if err != nil {
		return failed(err, "the server accepted a connection a moment ago and does not any more", "try again; it may allow few at a time")
	}
	defer raw.Close()
	host, _, _ := net.SplitHostPort(p.Server)
	if p.typeII {
		return p.pskHandshake(ctx, raw, host)
	}
	return p.tlsHandshake(ctx, raw, host)
}

// sign has the SIM sign something, so that its failure is not taken for the server's.
func (p *patient) sign(ctx context.Context) error {
	c, err := p.device.Certificate(ctx)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("simroot device doctor"))
	_, err = c.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256)
	return err
}

func (p *patient) tlsHandshake(ctx context.Context, raw net.Conn, host string) Finding {
	config, err := p.device.TLSConfig(ctx)
	if err != nil {
		return failed(err, "the SIM's credential cannot be used", "try again")
	}
	config.ServerName = host
	if p.ServerRoots != nil {
		config.RootCAs = p.ServerRoots
	}
	asked, ask := false, config.GetClientCertificate
	config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return ask(r)
	}
	conn := tls.Client(raw, config)
	err = conn.HandshakeContext(ctx)
	if err == nil {
		err = afterword(conn)
	}
	if err != nil {
		return refusedTLS(err)
	}
	s := conn.ConnectionState()
	saw := fmt.Sprintf("%s, %s, server %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.PeerCertificates[0].Subject)
	if !asked {
		saw += "; it did not ask for the SIM's certificate, so it does not know who this device is"
	}
	return good(saw)
}

func (p *patient) pskHandshake(ctx context.Context, raw net.Conn, host string) Finding {
	config, err := p.device.PSKConfig(ctx, p.identity, host)
	if err != nil {
		return failed(err, "the SIM's credential cannot be used", "try again")
	}
	conn := psktls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return failed(err, "the server and the SIM did not agree on a key",
			"see that the server knows this identity and speaks TLS 1.2 with ECDHE_PSK; identity and key change with each renewal: simroot device onboard --json tells the current one")
	}
	return good("TLS 1.2 with the pre-shared key of " + p.identity)
}

// afterword waits for a refusal that comes after the handshake. Silence is consent.
func afterword(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(afterwordTime)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// alerts are what servers say in refusing (RFC 8446, 6.2), in the words of crypto/tls.
var alerts = []struct{ text, means, do string }{
	{"unknown certificate authority", "the server does not know the CA of the SIM's certificate", "give the server the platform's CA (simroot appserver, or ca.pem of the platform)"},
	{"revoked certificate", "the SIM's credential was revoked", "ask the operator of the platform why; if the SIM may have another one, onboard it again"},
	{"expired certificate", "the server takes the SIM's certificate for expired", "compare the server's clock; renew the certificate: simroot device onboard"},
	{"bad certificate", "the server refuses the SIM's certificate", "see that the platform accepts it (simroot platform credentials) and that the server follows the platform; its log says more"},
	{"access denied", "the server knows the SIM and does not let it in", "see the state of the SIM at the platform, and the server's rules"},
	{"certificate required", "the server wants a certificate and got none that it likes", "see which CAs the server asks for"},
	{"protocol version", "the server speaks none of TLS 1.2 and 1.3", "update the server"},
	{"handshake failure", "server and device have no parameters in common", "the server must offer ECDHE with ECDSA P-256 and SHA-256"},
}

func refusedTLS(err error) Finding {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		for _, a := range alerts {
			if strings.Contains(err.Error(), a.text) {
				return broken(err.Error(), a.means, a.do)
			}
		}
		return broken(err.Error(), "the server refused the handshake", "the server's log says why")
	}
	return untrusted(err, "server", "--server-ca FILE",
		failed(err, "the handshake broke off", "see that TLS is spoken on this port; the server's log says more"))
}

// untrusted is what is wrong with the certificate that the other side showed; otherwise, if
// it is something else.
func untrusted(err error, who, flag string, otherwise Finding) Finding {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return broken(err.Error(), "the "+who+"'s certificate is not from a CA that is trusted here: a wrong anchor, or somebody in between", "give the right anchor with "+flag)
	case errors.As(err, &name):
		return broken(err.Error(), "the "+who+"'s certificate is for another name", "use the name that is in the certificate, or have one issued for this name")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return broken(err.Error(), "the "+who+"'s certificate has expired, or is not good yet", "renew it at the "+who+"; see that the clocks are right on both sides")
	}
	return otherwise
}
