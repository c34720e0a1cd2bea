package mosquitto

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// The files in the adapter's directory.
const (
	caFile            = "ca.crt"      // trust anchors and issuing CAs
	crlFile           = "crl.pem"     // what the issuing CA has revoked
	accessFile        = "access.acl"  // what devices may do
	controlAccessFile = "control.acl" // what the adapter may do with messages: nothing
	controlSocket     = "control.sock"
)

// ConfigOptions are what [Config] needs to know.
type ConfigOptions struct {
	// Dir is the adapter's directory ([Options.Dir]), readable and writable for the broker.
	Dir string
	// Listen is HOST:PORT of the listener for devices.
	Listen string
	// Certificate and Key are files with the broker's own certificate chain and key, in PEM.
	Certificate, Key string
	// PIDFile is where the broker writes its process ID, for [PIDFile].
	PIDFile string
	// User is whom the broker becomes if root starts it; empty: mosquitto.
	User string
}

// Config writes a complete mosquitto.conf for a broker that serves devices only. A broker
// that does more can include it, for it says nothing about persistence and logging; but
// per_listener_settings must then be right for the other listeners too.
//
// The control listener is a socket in Dir. Whoever may open it can end any session, and
// do nothing else; so let only the broker and the adapter into Dir.
func Config(o ConfigOptions) (string, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return "", fmt.Errorf("mosquitto: listen address %q: want HOST:PORT: %w", o.Listen, err)
	}
	for _, value := range []string{o.Dir, o.Certificate, o.Key, o.PIDFile} {
		if !filepath.IsAbs(value) || strings.ContainsAny(value, "\r\n") {
			return "", fmt.Errorf("mosquitto: path %q: want an absolute path, for the broker has a working directory of its own", value)
		}
	}
	if strings.ContainsAny(host+port+o.User, " \r\n") {
		return "", fmt.Errorf("mosquitto: listen address or user holds a space")
	}
	var b strings.Builder
	line := func(words ...string) { b.WriteString(strings.TrimRight(strings.Join(words, " "), " ") + "\n") }
	in := func(name string) string { return filepath.Join(o.Dir, name) }

	line("# Each listener has its own rules.")
	line("per_listener_settings true")
	line("pid_file", o.PIDFile)
	if o.User != "" {
		line("user", o.User)
	}
	line()
	line("# Devices: a certificate of the platform, and the ICCID as user name and client identifier.")
	line("listener", port, host)
	line("tls_version tlsv1.2")
	line("certfile", o.Certificate)
	line("keyfile", o.Key)
	line("cafile", in(caFile))
	line("crlfile", in(crlFile))
	line("require_certificate true")
	line("use_identity_as_username true")
	line("use_username_as_clientid true")
	line("allow_anonymous false")
	line("acl_file", in(accessFile))
	line()
	line("# The adapter ends sessions here by taking them over. No message passes.")
	line("listener 0", in(controlSocket))
	line("allow_anonymous true")
	line("acl_file", in(controlAccessFile))
	return b.String(), nil
}
