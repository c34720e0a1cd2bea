package beside

import (
	"context"
	"errors"

	"github.com/simroot/simroot/appserver"
)

// Server is a kind of server, as its adapter knows it. The methods are called by one goroutine.
type Server interface {
	// Files is what the server is to read. If it can make some files only, it returns them with
	// the error; the others stay as they are.
	Files(State) ([]File, error)
	// Reload makes the running server read files that have changed since it last did, by
	// name. The files are on disk. It may put that off with [ErrLater]. It is called without names as well,
	// every few seconds, for servers that may have started anew with the files of a moment before.
	Reload(ctx context.Context, changed []string) error
	// End ends the live connections that a SIM has by credentials that are cut off.
	End(ctx context.Context, iccid string) error
	// EndAll ends every SIM's connections.
	EndAll(ctx context.Context) error
	// Concerns tells whether a change touches the files though it bars no SIM and revokes
	// nothing. It must return at once.
	Concerns(appserver.Change) bool
}

// ErrLater puts off a reload: it is tried again every second.
var ErrLater = errors.New("later")

// File is one file in [Options.Dir].
type File struct {
	Name    string
	Content []byte
	Secret  bool // nobody but the owner may read it: mode 0600 instead of 0644
}

// State is what files are made from.
type State struct {
	CAs    []byte   // trust anchors and issuing CAs, PEM; nil: not known
	CRLs   []byte   // their CRLs, PEM; nil: not known
	Barred []string // the ICCIDs that have nothing that is accepted, in order
	Refuse bool     // nobody new may be let in: the replica is too old
	Cut    bool     // nobody may go on either
}

// Trusted is CAs, or while nobody may be let in a CA certificate whose key was thrown away: for servers that
// know no better way to refuse everyone, and do not start without a certificate.
func (s State) Trusted() ([]byte, error) {
	if s.Refuse {
		return nobody()
	}
	return s.CAs, nil
}
