package psktls

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// ConnectionState is what a handshake has agreed on.
type ConnectionState struct {
	HandshakeComplete    bool
	Version              uint16      // VersionTLS12 or VersionTLS13
	CipherSuite          uint16      // see CipherSuiteName
	Curve                tls.CurveID // of the ephemeral exchange; 0 means that there is no forward secrecy
	Identity             []byte      // of the client, proven by its key
	ServerName           string      // that the client asked for, or that the server's certificate is for
	NegotiatedProtocol   string      // ALPN; empty if none
	ExtendedMasterSecret bool        // RFC 7627; always in TLS 1.3
	ConnectionIDs        bool        // RFC 9146, DTLS only: agreed on, in one direction at least

	// PeerCertificates are the server's, verified, its own first. nil with a pre-shared key.
	PeerCertificates []*x509.Certificate

	export func(label string, context []byte, n int) ([]byte, error)
}

// ConnectionState is the result of the handshake, and zero before it is complete.
func (c *Conn) ConnectionState() ConnectionState {
	if !c.handshaken.Load() {
		return ConnectionState{}
	}
	s := c.state
	s.HandshakeComplete = true
	s.ExtendedMasterSecret = s.ExtendedMasterSecret || s.Version == VersionTLS13
	s.Identity = bytes.Clone(s.Identity)
	return s
}

// ErrNoExport is why ExportKeyingMaterial fails in TLS 1.2 without the extended master
// secret (RFC 7627, 5.4), and before the handshake is complete.
var ErrNoExport = errors.New("psktls: keying material needs a complete handshake, and in TLS 1.2 the extended master secret")

// maxExport is how many bytes of keying material can be had at once.
const maxExport = 255 * 32

// ExportKeyingMaterial derives n bytes that both sides share and nobody else knows (RFC
// 5705; RFC 8446, 7.5). In TLS 1.2 a context that is nil differs from an empty one.
func (s *ConnectionState) ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	if s.export == nil {
		return nil, ErrNoExport
	}
	if n < 0 || n > maxExport || len(label) > 249 || len(context) > 1<<16-1 {
		return nil, fmt.Errorf("psktls: ExportKeyingMaterial: at most %d bytes, a label of 249 and a context of 65535", maxExport)
	}
	return s.export(label, context, n)
}

// exporter13 is the exporter of TLS 1.3 under its exporter master secret.
func exporter13(h crypto.Hash, master []byte) func(string, []byte, int) ([]byte, error) {
	return func(label string, context []byte, n int) ([]byte, error) {
		s := &schedule{h, master}
		hash := h.New()
		hash.Write(context)
		return expandLabel(h, s.derive(label, s.empty()), "exporter", hash.Sum(nil), n), nil
	}
}

// reservedLabels are used by TLS 1.2 itself: exporting under them would give its keys away.
var reservedLabels = []string{labelMaster, labelExtendedMaster, labelKeyExpansion, labelClientFinished, labelServerFinished}

// exporter12 is the exporter of TLS 1.2 (RFC 5705, 4).
func exporter12(h crypto.Hash, master, randoms []byte) func(string, []byte, int) ([]byte, error) {
	return func(label string, context []byte, n int) ([]byte, error) {
		for _, reserved := range reservedLabels {
			if label == reserved {
				return nil, fmt.Errorf("psktls: ExportKeyingMaterial: the label %q belongs to TLS itself", label)
			}
		}
		seed := bytes.Clone(randoms)
		if context != nil {
			seed = append(append(seed, byte(len(context)>>8), byte(len(context))), context...)
		}
		return prf(h, master, label, seed, n), nil
	}
}
