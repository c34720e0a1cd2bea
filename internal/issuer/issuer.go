// Package issuer is the SIM issuer's side of virtual SIMs: it hands the keys of a SIM over
// to the platform that is to manage it.
package issuer

import (
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/vsim/image"
)

// BatchEntry is a SIM as a batch file lists it, its keys in clear: they are sealed on their
// way into the file.
func BatchEntry(s image.State) api.PlainSIM {
	return api.PlainSIM{
		ICCID: string(s.ICCID), KeyVersion: s.Domain.KeyVersion, Domain: s.Domain.AID,
		ENC: s.Domain.Keys.ENC, MAC: s.Domain.Keys.MAC, DEK: s.Domain.Keys.DEK,
	}
}
