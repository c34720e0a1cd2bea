package appserver

import "github.com/simroot/simroot/api"

// stateCode is a state of a SIM or a credential in one byte: a place in stateNames.
type stateCode uint8

// The states that decide. A state that this version does not know is kept as 0, which
// nothing accepts.
const (
	_ stateCode = iota
	imported
	seen
	provisioned
	suspended
	terminated
	requested
	keyed
	issued
	delivered
	active
	superseded
	expired
	revoked
)

var stateNames = [...]string{
	imported: string(api.Imported), seen: string(api.Seen), provisioned: string(api.Provisioned),
	suspended: string(api.Suspended), terminated: string(api.Terminated),
	requested: string(api.Requested), keyed: string(api.Keyed), issued: string(api.Issued), delivered: string(api.Delivered),
	active: string(api.Active), superseded: string(api.Superseded), expired: string(api.Expired), revoked: string(api.Revoked),
}

func (s stateCode) accepted() bool { return api.CredentialState(stateNames[s]).Accepted() }
func (s stateCode) final() bool    { return api.CredentialState(stateNames[s]).Final() }

func stateOf(name string) stateCode {
	for i, n := range stateNames {
		if n == name {
			return stateCode(i)
		}
	}
	return 0
}

// typeCode is the type of a credential in one byte: a place in typeNames. 0 is no credential.
type typeCode uint8

var typeNames = [...]string{1: string(api.CertificateType), 2: string(api.PSKType), 3: "other"}

func typeOf(t api.CredentialType) typeCode {
	switch t {
	case api.CertificateType:
		return 1
	case api.PSKType:
		return 2
	}
	return 3
}
