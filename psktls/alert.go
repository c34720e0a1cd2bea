package psktls

import "fmt"

// Alert is a TLS alert description (RFC 8446, 6; RFC 5246, 7.2).
type Alert uint8

// The alerts that this package sends or gives a meaning.
const (
	AlertCloseNotify            Alert = 0
	AlertUnexpectedMessage      Alert = 10
	AlertBadRecordMAC           Alert = 20
	AlertRecordOverflow         Alert = 22
	AlertHandshakeFailure       Alert = 40
	AlertBadCertificate         Alert = 42
	AlertUnsupportedCertificate Alert = 43
	AlertCertificateRevoked     Alert = 44
	AlertCertificateExpired     Alert = 45
	AlertCertificateUnknown     Alert = 46
	AlertIllegalParameter       Alert = 47
	AlertUnknownCA              Alert = 48
	AlertAccessDenied           Alert = 49
	AlertDecodeError            Alert = 50
	AlertDecryptError           Alert = 51
	AlertProtocolVersion        Alert = 70
	AlertInsufficientSecurity   Alert = 71
	AlertInternalError          Alert = 80
	AlertInappropriateFallback  Alert = 86
	AlertUserCanceled           Alert = 90
	AlertNoRenegotiation        Alert = 100
	AlertMissingExtension       Alert = 109
	AlertUnsupportedExtension   Alert = 110
	AlertUnrecognizedName       Alert = 112
	AlertUnknownPSKIdentity     Alert = 115
	AlertCertificateRequired    Alert = 116
	AlertNoApplicationProtocol  Alert = 120
)

const (
	alertLevelWarning byte = 1
	alertLevelFatal   byte = 2
	alertRecordLen         = 2
)

var alertNames = map[Alert]string{
	AlertCloseNotify: "close_notify", AlertUnexpectedMessage: "unexpected_message",
	AlertBadRecordMAC: "bad_record_mac", AlertRecordOverflow: "record_overflow",
	AlertHandshakeFailure: "handshake_failure", AlertIllegalParameter: "illegal_parameter",
	AlertDecodeError: "decode_error", AlertDecryptError: "decrypt_error",
	AlertProtocolVersion: "protocol_version", AlertInsufficientSecurity: "insufficient_security",
	AlertInternalError: "internal_error", AlertInappropriateFallback: "inappropriate_fallback",
	AlertUserCanceled: "user_canceled", AlertNoRenegotiation: "no_renegotiation",
	AlertMissingExtension: "missing_extension", AlertUnsupportedExtension: "unsupported_extension",
	AlertUnrecognizedName: "unrecognized_name", AlertUnknownPSKIdentity: "unknown_psk_identity",
	AlertNoApplicationProtocol: "no_application_protocol",
	AlertBadCertificate:        "bad_certificate", AlertUnsupportedCertificate: "unsupported_certificate",
	AlertCertificateRevoked: "certificate_revoked", AlertCertificateExpired: "certificate_expired",
	AlertCertificateUnknown: "certificate_unknown", AlertUnknownCA: "unknown_ca",
	AlertAccessDenied: "access_denied", AlertCertificateRequired: "certificate_required",
}

// String is the alert's name in the specification.
func (a Alert) String() string {
	if name, ok := alertNames[a]; ok {
		return name
	}
	return fmt.Sprintf("alert %d", uint8(a))
}

// AlertError is the end of a connection by an alert.
type AlertError struct {
	Alert  Alert
	Remote bool  // the peer sent it; else we did, because of Err
	Err    error // nil if Remote

	advice string // what an alert from the peer most often means
}

// Error says who sent the alert and why, as far as it is known.
func (e *AlertError) Error() string {
	if e.Remote {
		return "psktls: the peer ended the connection with " + e.Alert.String() + e.advice
	}
	return fmt.Sprintf("psktls: %v (%v sent)", e.Err, e.Alert)
}

// Unwrap is the reason for an alert of our own.
func (e *AlertError) Unwrap() error { return e.Err }

// remote is the end of a connection by an alert from the peer.
func remote(a Alert, advice map[Alert]string) error {
	return &AlertError{Alert: a, Remote: true, advice: advice[a]}
}

// advicePSK is what an alert from the peer most often means with pre-shared keys.
var advicePSK = map[Alert]string{
	AlertBadRecordMAC:          ": do both sides have the same key under this identity?",
	AlertDecryptError:          ": do both sides have the same key under this identity?",
	AlertUnknownPSKIdentity:    ": the peer does not know the identity",
	AlertHandshakeFailure:      ": is there a cipher suite that both sides allow, and does the peer know the identity?",
	AlertMissingExtension:      ": does the peer know the identity? One that does not may ask for certificates",
	AlertProtocolVersion:       ": the peer allows no version of TLS that we do",
	AlertInsufficientSecurity:  ": the peer demands stronger cipher suites",
	AlertNoApplicationProtocol: ": the peer speaks none of the protocols in NextProtos",
}

// adviceCertificates is what an alert from the server most often means with certificates.
var adviceCertificates = map[Alert]string{
	AlertHandshakeFailure:       ": does the server speak TLS 1.3 with one of our groups and cipher suites?",
	AlertProtocolVersion:        ": the server does not speak TLS 1.3",
	AlertBadCertificate:         ": it refuses our certificate: is it the one that was issued for this server?",
	AlertUnsupportedCertificate: ": it refuses our certificate for its kind or its key usage",
	AlertCertificateRevoked:     ": our certificate is revoked: run the onboarding again",
	AlertCertificateExpired:     ": our certificate has expired, or a clock is wrong: run the onboarding again",
	AlertCertificateUnknown:     ": it does not accept our certificate",
	AlertUnknownCA:              ": it does not know the CA that issued our certificate",
	AlertAccessDenied:           ": our certificate is good, and not allowed in",
	AlertCertificateRequired:    ": it wants a certificate of ours, and there was none",
	AlertDecryptError:           ": it finds our signature wrong: does the key belong to the certificate?",
	AlertUnrecognizedName:       ": the server does not know itself under this name",
	AlertNoApplicationProtocol:  ": the server speaks none of the protocols in NextProtos",
}

// fail is an error that is to end the connection with the given alert.
func fail(a Alert, format string, args ...any) error {
	return &AlertError{Alert: a, Err: fmt.Errorf(format, args...)}
}
