// Package interop holds psktls to other implementations of TLS, in both directions: OpenSSL,
// GnuTLS and Mosquitto, as scripts/deps installs them. It has tests only.
package psk
