// Package psk holds psktls to other implementations of TLS and DTLS, in both directions: OpenSSL,
// GnuTLS, libcoap, Mosquitto, as scripts/deps installs them, and pion/dtls. Our side's secret is
// once in memory, once in a SIM behind a modem, once in a SIM in a PC/SC reader. docs/psktls.md
// has the matrix. It has tests only.
package psk
