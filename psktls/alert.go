package psktls

import "fmt"

// Alert is a TLS alert description (RFC 8446, 6; RFC 5246, 7.2).
type Alert uint8

// The alerts that this package sends or gives a meaning.
const (
	AlertCloseNotify           Alert = 0
	AlertUnexpectedMessage     Alert = 10
	AlertBadRecordMAC          Alert = 20
	AlertRecordOverflow        Alert = 22
	AlertHandshakeFailure      Alert = 40
	AlertIllegalParameter      Alert = 47
	AlertDecodeError           Alert = 50
	AlertDecryptError          Alert = 51
	AlertProtocolVersion       Alert = 70
	AlertInsufficientSecurity  Alert = 71
	AlertInternalError         Alert = 80
	AlertInappropriateFallback Alert = 86
	AlertUserCanceled          Alert = 90
	AlertNoRenegotiation       Alert = 100
	AlertMissingExtension      Alert = 109
	AlertUnsupportedExtension  Alert = 110
	AlertUnrecognizedName      Alert = 112
	AlertUnknownPSKIdentity    Alert = 115
	AlertNoApplicationProtocol Alert = 120
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
}

// Error says who sent the alert and why, as far as it is known.
func (e *AlertError) Error() string {
	if e.Remote {
		return "psktls: the peer ended the connection with " + e.Alert.String() + advice[e.Alert]
	}
	return fmt.Sprintf("psktls: %v (%v sent)", e.Err, e.Alert)
}

// Unwrap is the reason for an alert of our own.
func (e *AlertError) Unwrap() error { return e.Err }

// advice is what an alert from the peer most often means with pre-shared keys.
var advice = map[Alert]string{
	AlertBadRecordMAC:          ": do both sides have the same key under this identity?",
	AlertDecryptError:          ": do both sides have the same key under this identity?",
	AlertUnknownPSKIdentity:    ": the peer does not know the identity",
	AlertHandshakeFailure:      ": is there a cipher suite that both sides allow, and does the peer know the identity?",
	AlertMissingExtension:      ": does the peer know the identity? One that does not may ask for certificates",
	AlertProtocolVersion:       ": the peer allows no version of TLS that we do",
	AlertInsufficientSecurity:  ": the peer demands stronger cipher suites",
	AlertNoApplicationProtocol: ": the peer speaks none of the protocols in NextProtos",
}

// fail is an error that is to end the connection with the given alert.
func fail(a Alert, format string, args ...any) error {
	return &AlertError{Alert: a, Err: fmt.Errorf(format, args...)}
}
