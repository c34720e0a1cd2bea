package natscallout

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// ConfigOptions are what [Config] needs to know.
type ConfigOptions struct {
	// Dir is the callout's directory ([Options.Dir]), of which the server must be able to read ca.pem.
	Dir string
	// Listen is HOST:PORT for all clients.
	Listen string
	// Certificate and Key are files with the server's own certificate chain and key, in PEM.
	Certificate, Key string
	// Account is the account of NATS that SIMs and the application are in; empty: DEVICES.
	Account string
	// TLSFirst has every client begin with TLS, as "simroot device tunnel" does and clients of NATS if they are
	// told to. Otherwise a client that does not say anything for a moment is greeted in plain, as usual.
	TLSFirst bool
}

// DefaultAccount is the account that SIMs are put into.
const DefaultAccount = "DEVICES"

// Config writes a complete configuration of nats-server, and makes the keys it names if need be. A
// server that does more can include it. The application connects with the user key keys/app.nk and the
// certificate keys/local-tls.crt, and may use all subjects of the account.
func Config(o ConfigOptions) (string, error) {
	if o.Account == "" {
		o.Account = DefaultAccount
	}
	if err := o.Check(); err != nil {
		return "", err
	}
	keys, err := MakeKeys(o.Dir)
	if err != nil {
		return "", err
	}
	quote := strconv.Quote
	first := "auto"
	if o.TLSFirst {
		first = "true"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# SIMs are let in by "simroot appserver serve --nats", which also keeps ca_file current.
listen: %s
tls {
  cert_file: %s
  key_file: %s
  ca_file: %s
  verify: true
  handshake_first: %s
}
accounts {
  %s { users: [ { nkey: %s } ] }
  %s { users: [ { nkey: %s } ] }
}
system_account: %s
authorization {
  timeout: 5
  auth_callout {
    issuer: %s
    account: %s
    auth_users: [ %s, %s ]
    xkey: %s
  }
}
`, quote(o.Listen), quote(o.Certificate), quote(o.Key), quote(filepath.Join(o.Dir, caFile)), first,
		systemAccount, keys.Callout, o.Account, keys.App, systemAccount, keys.Issuer, systemAccount, keys.Callout, keys.App, keys.Curve)
	return b.String(), nil
}

// Check tells what is wrong with the options.
func (o ConfigOptions) Check() error {
	if strings.ContainsFunc(o.Account, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) || o.Account == systemAccount {
		return fmt.Errorf("account %q: want letters, digits, - and _, and not %s", o.Account, systemAccount)
	}
	if _, port, err := net.SplitHostPort(o.Listen); err != nil || port == "" {
		return fmt.Errorf("listen %q: want HOST:PORT", o.Listen)
	}
	for _, path := range []string{o.Dir, o.Certificate, o.Key} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("path %q: want an absolute one", path)
		}
	}
	return nil
}

// systemAccount is the account of NATS that hears of everything, in which the callout is.
const systemAccount = "SYS"
