package api

import "fmt"

// BatchFormat is the first thing in a batch file: a header line names it.
const BatchFormat = "simroot-batch-1"

// BatchHeader is the first line of a batch file, which is newline-delimited JSON: header,
// one [BatchSIM] a line, [BatchTrailer].
type BatchHeader struct {
	Format string `json:"format"`
	// TransportKey is the public key the SIM keys are sealed to, so that a platform
	// can say at once that a batch is meant for another.
	TransportKey []byte `json:"transport_key"`
}

// BatchSIM is one SIM of a batch.
type BatchSIM struct {
	ICCID string `json:"iccid"`
	// KeyVersion is the key version number of the SCP03 key set, 30 to 3F hexadecimal.
	KeyVersion byte `json:"key_version"`
	// Domain is the AID of the security domain that holds the keys and the applet.
	Domain []byte `json:"domain"`
	// Sealed holds ENC, MAC and DEK (AES-128, 48 bytes in all), sealed to the transport
	// key with [BatchInfo] as info.
	Sealed []byte `json:"sealed"`
	// Enrolment is the hash of a one-time secret with which the SIM's device may enrol
	// over EST; see [EnrolmentHash]. Empty: there is none.
	Enrolment  []byte     `json:"enrolment,omitempty"`
	Attributes Attributes `json:"attributes,omitempty"`
}

// BatchTrailer is the last line of a batch file; without it the file is cut short.
type BatchTrailer struct {
	End int `json:"end"` // number of SIMs
}

// BatchInfo binds sealed SIM keys to their SIM and key version.
func BatchInfo(iccid string, keyVersion byte) string {
	return fmt.Sprintf("%s %s %02X", BatchFormat, iccid, keyVersion)
}
