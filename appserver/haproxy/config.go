package haproxy

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// connectionTable is the stick table of open connections.
const connectionTable = "simroot_connections"

// ConfigOptions are what [Config] needs to know.
type ConfigOptions struct {
	// Dir is the adapter's directory ([Options.Dir]), readable for HAProxy.
	Dir string
	// Listen is HOST:PORT for devices.
	Listen string
	// Certificate is a file with HAProxy's own certificate chain and, in it or beside it with
	// .key at the end, the key, in PEM.
	Certificate string
	// Backend is HOST:PORT of the application.
	Backend string
	// TCP forwards bytes, with PROXY protocol version 2 before them, in which the common name of the
	// certificate is the ICCID. Otherwise HTTP requests are forwarded, with the ICCID in a header.
	TCP bool
}

// Config writes a frontend, a backend and the table of connections: the rest of haproxy.cfg, global
// and defaults, is as it is, but for what is in the frontend.
func Config(o ConfigOptions) (string, error) {
	for _, path := range []string{o.Dir, o.Certificate} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, " \t\r\n\"'\\#") {
			return "", fmt.Errorf("haproxy: path %q: want an absolute path without spaces and quotes", path)
		}
	}
	for _, address := range []string{o.Listen, o.Backend} {
		if _, _, err := net.SplitHostPort(address); err != nil || strings.ContainsAny(address, " \t\r\n\"'\\#,") {
			return "", fmt.Errorf("haproxy: address %q: want HOST:PORT", address)
		}
	}
	in := func(name string) string { return filepath.Join(o.Dir, name) }
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("# Who is connected, by certificate and peer: the adapter finds here whom to cut off.")
	line("backend %s", connectionTable)
	line("    stick-table type string len 128 size 1m expire 1m store conn_cur")
	line("")
	line("# Devices: a certificate of the platform that is accepted right now.")
	line("frontend simroot")
	line("    bind %s ssl crt %s ca-file %s crl-file %s verify required ssl-min-ver TLSv1.2 no-tls-tickets", o.Listen, o.Certificate, in(caFile), in(crlFile))
	line("    timeout client 1h")
	line("    tcp-request session set-var(sess.simroot_print) ssl_c_der,sha2(256),hex")
	line("    tcp-request session set-var(sess.simroot_port) src_port")
	line("    tcp-request session set-var(sess.simroot_peer) src,concat(/,sess.simroot_port)")
	line("    tcp-request session reject unless { var(sess.simroot_print) -m str -f %s }", in(acceptedFile))
	line("    tcp-request session track-sc0 var(sess.simroot_print),concat(/,sess.simroot_peer) table %s", connectionTable)
	if o.TCP {
		line("    mode tcp")
	} else {
		line("    mode http")
		line("    http-request deny unless { var(sess.simroot_print) -m str -f %s }", in(acceptedFile))
		line("    http-request del-header ^simroot[-_] -m reg")
		line("    http-request set-header Simroot-ICCID %%[ssl_c_s_dn(serialNumber)]")
		line("    http-request set-header Simroot-Fingerprint %%[var(sess.simroot_print)]")
	}
	line("    default_backend simroot_application")
	line("")
	line("backend simroot_application")
	line("    timeout connect 5s")
	line("    timeout server 1h")
	if o.TCP {
		line("    mode tcp")
		line("    server application %s send-proxy-v2-ssl-cn", o.Backend)
	} else {
		line("    mode http")
		line("    server application %s", o.Backend)
	}
	return b.String(), nil
}
