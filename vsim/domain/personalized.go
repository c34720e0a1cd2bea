package domain

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/vsim/uicc"
)

// Personalized is an application that its security domain personalises
// (GPCS 2.3.1, 7.3.3).
type Personalized interface {
	uicc.App

	// BeginPersonalization starts a transaction on the application's store. decrypt
	// recovers what the host enciphered under the session's key-encryption key.
	BeginPersonalization(decrypt func(encrypted []byte) ([]byte, error))

	// StoreData carries out one block: P1 and P2 as in the header of STORE DATA, data in
	// clear. A last block commits. Anything but 9000 ends the transaction without effect.
	StoreData(p1, p2 byte, data []byte) apdu.Response

	// AbortPersonalization ends the transaction, if one runs, and leaves the store as it
	// was.
	AbortPersonalization()
}
