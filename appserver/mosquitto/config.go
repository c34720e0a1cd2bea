package mosquitto

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// ConfigOptions are what [Config] needs to know.
type ConfigOptions struct {
	// Dir is the adapter's directory ([Options.Dir]), readable and writable for the broker.
	Dir string
	// Listen is HOST:PORT of the listener for devices with certificates; empty: there is none.
	Listen string
	// PSKListen is HOST:PORT of the listener for devices with PSKs ([Options.PSK]); empty: there
	// is none. A Mosquitto listener takes one kind of credential.
	PSKListen string
	// Certificate and Key are files with the broker's own certificate chain and key, in PEM, for
	// Listen.
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
	c := writer{dir: o.Dir}
	c.paths(o.Dir, o.PIDFile)
	c.line("# Each listener has its own rules.")
	c.line("per_listener_settings true")
	c.line("pid_file", o.PIDFile)
	if strings.ContainsAny(o.User, " \r\n") {
		c.fail("the user %q holds a space", o.User)
	}
	if o.User != "" {
		c.line("user", o.User)
	}
	if o.Listen == "" && o.PSKListen == "" {
		c.fail("want an address to listen on, for certificates or for PSKs")
	}
	if o.Listen != "" {
		c.paths(o.Certificate, o.Key)
		c.line()
		c.line("# Devices: a certificate of the platform, and the ICCID as user name and client identifier.")
		c.listener(o.Listen)
		c.line("certfile", o.Certificate)
		c.line("keyfile", o.Key)
		c.line("cafile", c.in(caFile))
		c.line("crlfile", c.in(crlFile))
		c.line("require_certificate true")
		c.device()
	}
	if o.PSKListen != "" {
		c.line()
		c.line("# Devices: a PSK, and its identity as user name and client identifier.")
		c.listener(o.PSKListen)
		c.line("psk_hint simroot")
		c.line("psk_file", c.in(pskFile))
		c.device()
	}
	c.line()
	c.line("# The adapter ends sessions here by taking them over. No message passes.")
	c.line("listener 0", c.in(controlSocket))
	c.line("allow_anonymous true")
	c.line("acl_file", c.in(controlAccessFile))
	if c.err != nil {
		return "", fmt.Errorf("mosquitto: %w", c.err)
	}
	return c.text.String(), nil
}

// writer writes a configuration, and keeps the first thing that cannot stand in it.
type writer struct {
	dir  string
	text strings.Builder
	err  error
}

func (c *writer) line(words ...string) {
	c.text.WriteString(strings.TrimRight(strings.Join(words, " "), " ") + "\n")
}

func (c *writer) in(name string) string { return filepath.Join(c.dir, name) }

func (c *writer) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// paths wants absolute paths.
func (c *writer) paths(paths ...string) {
	for _, path := range paths {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\r\n") {
			c.fail("path %q: want an absolute path, for the broker has a working directory of its own", path)
		}
	}
}

// listener begins a listener for TLS.
func (c *writer) listener(address string) {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		c.fail("listen address %q: want HOST:PORT: %w", address, err)
	case strings.ContainsAny(host+port, " \r\n"):
		c.fail("the listen address %q holds a space", address)
	}
	c.line("listener", port, host)
	c.line("tls_version tlsv1.2")
}

// device is what all listeners for devices have.
func (c *writer) device() {
	c.line("use_identity_as_username true")
	c.line("use_username_as_clientid true")
	c.line("allow_anonymous false")
	c.line("acl_file", c.in(accessFile))
}
