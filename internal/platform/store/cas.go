package store

import "time"

// CAState is where one of the platform's CAs stands in their line.
type CAState string

// The states of a CA. There is at most one of each of the first three.
const (
	CANext    CAState = "next"    // is to issue; trusted
	CAIssuing CAState = "issuing" //
	CABefore  CAState = "before"  // has issued what is in use; trusted
	CARetired CAState = "retired" // nothing of it is in use any more
	CAAborted CAState = "aborted" // was next, and has never issued
)

// InLine tells whether a CA of this state is trusted.
func (s CAState) InLine() bool { return s == CANext || s == CAIssuing || s == CABefore }

// CA is the row of one of the platform's CAs: a root with the issuing CA under it. Certificates and list
// are in DER. Its private keys are not in the database.
type CA struct {
	Number  int // from 1 on; the CA after one that was aborted has its number
	Name    string
	State   CAState
	Root    []byte
	Issuer  []byte
	Cross   []byte // the root, signed by the root before it; nil if it is not
	RootCRL []byte // nil if there is none
	Since   time.Time
	Until   time.Time // when the last certificate of one that was before has ended
}

// CAs are the rows of CAs, by number.
type CAs interface {
	// CAs returns all of them.
	CAs() ([]CA, error)
	// PutCA makes a row, or replaces it, and takes the line one step further.
	PutCA(CA) error
	// CAStep tells how many steps the line has taken. It costs a change nothing.
	CAStep() (int64, error)
}
