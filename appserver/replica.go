package appserver

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/simroot/simroot/api"
)

// Fingerprint names a credential as it shows in a handshake: the SHA-256 of a certificate in
// DER, or for a PSK what [PSKFingerprint] makes of its identity.
type Fingerprint = [32]byte

// PSKFingerprint is the fingerprint of the PSK that is presented under the given identity. It never
// equals that of a certificate.
func PSKFingerprint(identity []byte) Fingerprint {
	h := sha256.New()
	h.Write([]byte("PSK identity\x00")) // which no DER begins with
	h.Write(identity)
	return Fingerprint(h.Sum(nil))
}

// fingerprintOf is the fingerprint of a credential, and false if it has none yet.
func fingerprintOf(c *api.Credential) (Fingerprint, bool) {
	switch {
	case c.Type == api.CertificateType && len(c.Fingerprint) == len(Fingerprint{}):
		return Fingerprint(c.Fingerprint), true
	case c.Type == api.PSKType && c.Identity != "":
		return PSKFingerprint([]byte(c.Identity)), true
	}
	return Fingerprint{}, false
}

// replica is the platform's state as far as handshakes need it. It is not safe for
// concurrent use: [Middleware] guards the one it serves from.
type replica struct {
	feed    string // the history that seq belongs to; empty: none yet
	seq     int64  // the last event applied
	sims    map[string]*sim
	byID    map[string]*credential
	byPrint map[Fingerprint]*credential
	fleets  map[string]string // one copy of each fleet's name
}

type sim struct {
	iccid, fleet string
	state        api.SIMState // empty: only its credentials were heard of
	credentials  []*credential
}

type credential struct {
	Identity
	sim          *sim
	state        api.CredentialState
	print        Fingerprint // zero: nothing to show in a handshake (yet)
	psk          string      // the PSK identity
	confirmation *api.Confirmation
}

func newReplica() *replica {
	return &replica{
		sims:    make(map[string]*sim),
		byID:    make(map[string]*credential),
		byPrint: make(map[Fingerprint]*credential),
		fleets:  make(map[string]string),
	}
}

// apply takes over an event and returns the SIM that it touched. The caller has checked
// that it is the next one.
func (r *replica) apply(e *api.Event) *sim {
	r.seq = e.Seq
	if e.SIM != nil {
		s := r.sim(e.SIM.ICCID)
		s.fleet, s.state = r.fleet(e.SIM.Fleet), e.SIM.State
		return s
	}
	c := r.byID[e.Credential.ID]
	if c == nil {
		s := r.sim(e.Credential.ICCID)
		c = &credential{sim: s, Identity: Identity{ICCID: s.iccid, Credential: e.Credential.ID}}
		s.credentials = append(s.credentials, c)
		r.byID[c.Credential] = c
	}
	c.Fleet, c.NotAfter = r.fleet(e.Credential.Fleet), e.Credential.NotAfter
	c.Type, c.state = e.Credential.Type, e.Credential.State
	c.psk, c.confirmation = e.Credential.Identity, e.Credential.Confirmation
	if print, ok := fingerprintOf(e.Credential); ok {
		delete(r.byPrint, c.print)
		c.print = print
		r.byPrint[c.print] = c
	}
	return c.sim
}

func (r *replica) sim(iccid string) *sim {
	s := r.sims[iccid]
	if s == nil {
		s = &sim{iccid: iccid}
		r.sims[iccid] = s
	}
	return s
}

func (r *replica) fleet(name string) string {
	if known, ok := r.fleets[name]; ok {
		return known
	}
	r.fleets[name] = name
	return name
}

// forget drops credentials that can never be used again and are past their end: without
// it the replica would grow with every rotation. They are then unknown, which is refused
// as well.
func (r *replica) forget(now time.Time) {
	for id, c := range r.byID {
		if c.state.Final() && !c.NotAfter.IsZero() && now.After(c.NotAfter) {
			delete(r.byID, id)
			if r.byPrint[c.print] == c {
				delete(r.byPrint, c.print)
			}
			c.sim.credentials = slices.DeleteFunc(c.sim.credentials, func(other *credential) bool { return other == c })
		}
	}
}

// secrets lists the PSKs that are accepted, by the IDs of their credentials: what the vault is to hold.
func (r *replica) secrets(yield func(id string) bool) {
	for id, c := range r.byID {
		if c.Type == api.PSKType && c.state.Accepted() && !yield(id) {
			return
		}
	}
}

// size is the number of events that tell the whole state.
func (r *replica) size() int { return len(r.sims) + len(r.byID) }

// entries tells the whole state, SIMs before their credentials.
func (r *replica) entries(yield func(entry) bool) {
	for _, s := range r.sims {
		if !yield(entry{ICCID: s.iccid, Fleet: s.fleet, State: string(s.state)}) {
			return
		}
		for _, c := range s.credentials {
			e := entry{
				ICCID: c.ICCID, Fleet: c.Fleet, State: string(c.state), ID: c.Credential, Type: c.Type,
				Identity: c.psk, Confirmation: c.confirmation, NotAfter: c.NotAfter,
			}
			if c.Type == api.CertificateType && c.print != (Fingerprint{}) {
				e.Fingerprint = c.print[:]
			}
			if !yield(e) {
				return
			}
		}
	}
}

// refusal is why the credential may not begin a connection, nil if it may.
func (c *credential) refusal(now time.Time) error {
	if c.state == api.Superseded {
		return ErrSuperseded
	}
	return c.cut(now)
}

// cut is why the credential may not even go on with a connection, nil if it may.
func (c *credential) cut(now time.Time) error {
	switch {
	case c.state == api.Revoked:
		return ErrRevoked
	case c.sim.state == api.Terminated:
		return ErrTerminated
	case c.sim.state == api.Suspended:
		return ErrSuspended
	case c.state == api.Expired, !c.NotAfter.IsZero() && !now.Before(c.NotAfter):
		return ErrExpired
	case !c.state.Accepted() && c.state != api.Superseded:
		return ErrNotIssued
	}
	return nil
}

// barred tells whether the SIM once had a credential, or was let in, and has nothing now
// that is accepted.
func (s *sim) barred(now time.Time) bool {
	if s.state == api.Suspended || s.state == api.Terminated {
		return true
	}
	over := false
	for _, c := range s.credentials {
		if c.refusal(now) == nil {
			return false
		}
		over = over || c.state.Final() || c.state.Accepted()
	}
	return over
}
