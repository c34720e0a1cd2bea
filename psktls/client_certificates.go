package psktls

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
)

// maxRSA is the longest RSA key in bits that a server may have: longer ones take their time to
// verify.
const maxRSA = 8192

// authenticateServer reads the server's certificate, and the proof that it has the key. request is
// what it wants of the client, nil if nothing, or if a pre-shared key does all that.
func (h *handshake) authenticateServer() (request *certificateRequest, err error) {
	if h.set.Certificates == nil {
		return nil, nil
	}
	raw, err := h.readHandshake(typeCertificateRequest, typeCertificate)
	if err != nil {
		return nil, err
	}
	h.transcript.add(raw)
	if raw[0] == typeCertificateRequest {
		if request, err = readCertificateRequest(raw[handshakeHeaderLen:]); err != nil {
			return nil, err
		}
		if raw, err = h.readHandshake(typeCertificate); err != nil {
			return nil, err
		}
		h.transcript.add(raw)
	}
	chain, err := h.readCertificates(raw[handshakeHeaderLen:])
	if err != nil {
		return nil, err
	}
	if err := h.verifyChain(chain); err != nil {
		return nil, err
	}
	h.state.PeerCertificates = chain
	return request, h.verifyServer(chain[0])
}

func readCertificateRequest(body []byte) (*certificateRequest, error) {
	m, err := parseCertificateRequest(body)
	switch {
	case err != nil:
		return nil, unreadable("CertificateRequest", err)
	case len(m.context) > 0:
		return nil, fail(AlertIllegalParameter, "CertificateRequest: a context, which has no place in a handshake")
	case m.schemes == nil:
		return nil, fail(AlertMissingExtension, "CertificateRequest without signature_algorithms")
	}
	m.schemes = slices.Clone(m.schemes)
	return m, nil
}

// readCertificates reads the server's Certificate.
func (h *handshake) readCertificates(body []byte) ([]*x509.Certificate, error) {
	m, err := parseCertificate(body)
	if err != nil {
		return nil, unreadable("Certificate", err)
	}
	if len(m.context) > 0 {
		return nil, fail(AlertIllegalParameter, "Certificate: a context, which has no place in a handshake")
	}
	if len(m.chain) == 0 {
		return nil, fail(AlertDecodeError, "the server sends no certificate")
	}
	if err := h.checkExtensions("Certificate", m.numbers); err != nil {
		return nil, err
	}
	chain := make([]*x509.Certificate, len(m.chain))
	for i, der := range m.chain {
		if chain[i], err = x509.ParseCertificate(bytes.Clone(der)); err != nil {
			return nil, fail(AlertBadCertificate, "the server's certificate %d: %w", i, err)
		}
	}
	return chain, nil
}

// verifyChain checks the server's certificate: its chain, dates, purpose, and name.
func (h *handshake) verifyChain(chain []*x509.Certificate) error {
	own := chain[0]
	if key, ok := own.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
		return fail(AlertBadCertificate, "the server's certificate: an RSA key of %d bits, more than %d", key.N.BitLen(), maxRSA)
	}
	if own.KeyUsage != 0 && own.KeyUsage&x509.KeyUsageDigitalSignature == 0 { // RFC 8446, 4.4.2.2
		return fail(AlertUnsupportedCertificate, "the server's certificate: its key is not for digital signatures")
	}
	options := x509.VerifyOptions{
		Roots: h.set.Certificates.Roots, Intermediates: x509.NewCertPool(),
		CurrentTime: h.set.Certificates.now(), DNSName: h.set.ServerName,
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	chains, err := own.Verify(options)
	if err != nil {
		return fail(alertFor(err), "the server's certificate: %w", err)
	}
	if check := h.set.Certificates.Check; check != nil {
		if err := check(h.ctx, chains); err != nil {
			return fail(AlertBadCertificate, "the server's certificate: %w", err)
		}
	}
	return nil
}

// alertFor is the alert for a certificate that is not accepted.
func alertFor(err error) Alert {
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) {
		switch invalid.Reason {
		case x509.Expired:
			return AlertCertificateExpired
		case x509.IncompatibleUsage:
			return AlertUnsupportedCertificate
		}
		return AlertBadCertificate
	}
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return AlertUnknownCA
	}
	return AlertBadCertificate
}

// verifyServer reads the server's CertificateVerify.
func (h *handshake) verifyServer(certificate *x509.Certificate) error {
	messages := h.transcript.sum()
	body, err := h.receive(typeCertificateVerify)
	if err != nil {
		return err
	}
	m, err := parseCertificateVerify(body)
	if err != nil {
		return unreadable("CertificateVerify", err)
	}
	s := schemeByID(m.scheme)
	if s == nil || !s.fits(certificate.PublicKey) {
		return fail(AlertIllegalParameter, "CertificateVerify: signature scheme %#04x was not offered, or does not fit the certificate's key", m.scheme)
	}
	if !s.verify(certificate.PublicKey, signedText(byServer, messages), m.signature) {
		return fail(AlertDecryptError, "the server's signature is wrong: it does not have the key of its certificate")
	}
	return nil
}

// presentCertificate answers a CertificateRequest. Without a certificate it says so, and leaves it to the
// server what that means.
func (h *handshake) presentCertificate(request *certificateRequest) error {
	if h.set.Certificates.Client == nil {
		return h.send(&certificateMessage{})
	}
	own, err := h.set.Certificates.Client(h.ctx)
	if err != nil {
		return keyFailed("the client's certificate", err)
	}
	signer, ok := own.PrivateKey.(crypto.Signer)
	if !ok || len(own.Certificate) == 0 {
		return fail(AlertInternalError, "the client's certificate: it lacks a crypto.Signer or the certificate itself")
	}
	s := commonScheme(own, signer.Public(), request.schemes)
	if s == nil {
		return fail(AlertHandshakeFailure, "the server takes no signature that the client's key makes: it wants one of %#04x", request.schemes)
	}
	if err := h.send(&certificateMessage{chain: own.Certificate}); err != nil {
		return err
	}
	signature, err := s.sign(signer, signedText(byClient, h.transcript.sum()))
	if err != nil {
		return keyFailed("the client's signature", err)
	}
	return h.send(&certificateVerify{uint16(s.id), signature})
}

// commonScheme is the first scheme that key, signer and server know.
func commonScheme(own *tls.Certificate, key crypto.PublicKey, wanted []uint16) *scheme {
	for _, s := range schemes {
		able := own.SupportedSignatureAlgorithms == nil || slices.Contains(own.SupportedSignatureAlgorithms, s.id)
		if able && s.fits(key) && slices.Contains(wanted, uint16(s.id)) {
			return s
		}
	}
	return nil
}
