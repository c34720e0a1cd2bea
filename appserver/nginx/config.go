package nginx

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// ConfigOptions are what [Config] needs to know.
type ConfigOptions struct {
	// Dir is the adapter's directory ([Options.Dir]), readable for nginx.
	Dir string
	// Listen is HOST:PORT for devices.
	Listen string
	// Certificate and Key are files with nginx's own certificate chain and key, in PEM.
	Certificate, Key string
	// Authz is where package authz answers: HOST:PORT or unix:PATH.
	Authz string
	// Backend is HOST:PORT of the application.
	Backend string
}

// Config writes a server for devices, and the upstream that it asks, for nginx's http block.
func Config(o ConfigOptions) (string, error) {
	authz := o.Authz
	if path, ok := strings.CutPrefix(o.Authz, "unix:"); ok {
		if err := plainPath(path); err != nil {
			return "", err
		}
	} else if err := plainAddress(o.Authz); err != nil {
		return "", err
	}
	for _, path := range []string{o.Dir, o.Certificate, o.Key} {
		if err := plainPath(path); err != nil {
			return "", err
		}
	}
	for _, address := range []string{o.Listen, o.Backend} {
		if err := plainAddress(address); err != nil {
			return "", err
		}
	}
	return strings.NewReplacer(
		"{authz}", authz, "{listen}", o.Listen, "{certificate}", o.Certificate, "{key}", o.Key,
		"{ca}", filepath.Join(o.Dir, caFile), "{crl}", filepath.Join(o.Dir, crlFile), "{backend}", o.Backend,
	).Replace(block), nil
}

const block = `# Who may come in.
upstream simroot_authz {
    server {authz};
    keepalive 16;
}

# Devices: a certificate of the platform, and with each request the question whether it is accepted right now.
server {
    listen {listen} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_client_certificate {ca};
    ssl_crl {crl};
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_session_tickets off;

    location / {
        auth_request /simroot-authz;
        auth_request_set $simroot_iccid $upstream_http_simroot_iccid;
        auth_request_set $simroot_fleet $upstream_http_simroot_fleet;
        auth_request_set $simroot_credential $upstream_http_simroot_credential;
        proxy_set_header Simroot-ICCID $simroot_iccid;
        proxy_set_header Simroot-Fleet $simroot_fleet;
        proxy_set_header Simroot-Credential $simroot_credential;
        proxy_set_header Simroot-Subject $ssl_client_s_dn;
        proxy_pass http://{backend};
    }

    location = /simroot-authz {
        internal;
        proxy_pass http://simroot_authz/forward-auth;
        proxy_http_version 1.1;
        proxy_pass_request_headers off;
        proxy_pass_request_body off;
        proxy_set_header Connection "";
        proxy_set_header Content-Length "";
        proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
        proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    }
}
`

// plainPath wants an absolute path that stands in a configuration as it is.
func plainPath(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsAny(path, " \t\r\n\"'\\;{}$#") {
		return fmt.Errorf("nginx: path %q: want an absolute path without spaces, quotes and braces", path)
	}
	return nil
}

func plainAddress(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil || strings.ContainsAny(address, " \t\r\n\"'\\;{}$#") {
		return fmt.Errorf("nginx: address %q: want HOST:PORT", address)
	}
	return nil
}
