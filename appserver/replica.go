package appserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/perso"
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
func fingerprintOf(e *entry) (Fingerprint, bool) {
	switch {
	case e.Type == api.CertificateType && len(e.Fingerprint) == len(Fingerprint{}):
		return Fingerprint(e.Fingerprint), true
	case e.Type == api.PSKType && e.Identity != "":
		return PSKFingerprint([]byte(e.Identity)), true
	}
	return Fingerprint{}, false
}

// replica is the platform's state as far as handshakes need it, packed: at a million SIMs
// with one credential each it takes less than 200 bytes for each. It is not safe for
// concurrent use: [Middleware] guards the one it serves from.
type replica struct {
	api.FeedPosition // of the last event applied; without an ID: none yet

	sims        table[sim]
	credentials table[credential]
	proofs      table[proof]
	serials     table[serialKey] // of certificates

	byICCID, byID, byPrint, bySerial index

	attributes attributeSets
	fleets     []string // each name once
	fleetNo    map[string]uint32
	// texts are the IDs and the PSK identities that do not fit the form in which a
	// credential holds them, by its number.
	ids, identities map[uint32]string
}

// sim is a SIM: 24 bytes.
type sim struct {
	iccid [10]byte // digits in halves, filled up with F
	state stateCode
	known bool   // false: only its credentials were heard of
	fleet uint32 // in fleets
	first uint32 // the number of one of its credentials plus one

	attributes uint32 // in attributes
}

// credential is a certificate or a PSK: 80 bytes.
type credential struct {
	print    Fingerprint // zero: nothing to show in a handshake (yet)
	id       [16]byte
	notAfter int64 // microseconds since 1970; 0: none
	sim      uint32
	next     uint32 // the number of the SIM's next one plus one
	fleet    uint32
	proof    uint32 // the number of the proof plus one
	serial   uint32 // the number of the serial number's key plus one
	kind     typeCode
	state    stateCode
	longID   bool // the ID stands in ids, and id is a part of its hash
	identity identityForm
}

// proof is a SIM's proof that it holds a PSK.
type proof struct {
	challenge [perso.ChallengeSize]byte
	proof     [sha256.Size]byte
}

// identityForm is how the identity of a PSK is held.
type identityForm uint8

const (
	noIdentity    identityForm = iota
	plainIdentity              // the ICCID, a dot and the last twelve characters of the ID
	longIdentity               // as it stands in identities
)

func newReplica() *replica {
	return &replica{
		byICCID: newIndex(), byID: newIndex(), byPrint: newIndex(), bySerial: newIndex(),
		fleetNo: make(map[string]uint32), attributes: attributeSets{number: make(map[Attributes]uint32)}, ids: make(map[uint32]string), identities: make(map[uint32]string),
	}
}

// freeze is a copy for [replica.entries], while the original changes.
func (r *replica) freeze() *replica {
	return &replica{
		FeedPosition: r.FeedPosition,
		sims:         r.sims.freeze(), credentials: r.credentials.freeze(), proofs: r.proofs.freeze(), serials: r.serials.freeze(),
		fleets: slices.Clone(r.fleets), attributes: attributeSets{sets: slices.Clone(r.attributes.sets)}, ids: maps.Clone(r.ids), identities: maps.Clone(r.identities),
	}
}

// check tells whether an entry can be held: the platform may send nothing else, nor may
// the journal hold it.
func (e *entry) check() error {
	if _, ok := packICCID(e.ICCID); !ok {
		return fmt.Errorf("%q is not an ICCID", e.ICCID)
	}
	if err := e.Attributes.check(); err != nil {
		return fmt.Errorf("SIM %s: %w", e.ICCID, err)
	}
	return nil
}

// apply takes over an entry that was checked, and returns the number of the SIM that it
// touched.
func (r *replica) apply(e *entry) uint32 {
	n := r.sim(e.ICCID)
	if e.ID == "" {
		s := r.sims.edit(n)
		s.fleet, s.state, s.known = r.fleet(e.Fleet), stateOf(e.State), true
		if r.attributes.at(s.attributes) != e.Attributes {
			r.attributes.leave(s.attributes)
			s.attributes = r.attributes.use(e.Attributes)
		}
		return n
	}
	i, ok := r.findID(e.ID)
	if !ok {
		i = r.insert(n, e.ID)
	}
	c := r.credentials.edit(i)
	c.fleet, c.notAfter = r.fleet(e.Fleet), micros(e.NotAfter)
	c.kind, c.state = typeOf(e.Type), stateOf(e.State)
	r.setPrint(i, c, e)
	r.setSerial(i, c, e)
	r.setIdentity(i, c, e)
	r.setProof(c, e.Confirmation)
	return c.sim
}

func (r *replica) setPrint(i uint32, c *credential, e *entry) {
	print, ok := fingerprintOf(e)
	if !ok || c.print == print {
		return
	}
	if c.print != (Fingerprint{}) {
		r.byPrint.remove(c.print[:], i, r.printOf)
	}
	c.print = print
	// What is named last has it, should two have one certificate.
	if other, ok := r.byPrint.find(c.print[:], func(j uint32) bool { return r.credentials.at(j).print == c.print }); ok {
		r.byPrint.remove(c.print[:], other, r.printOf)
		r.credentials.edit(other).print = Fingerprint{}
	}
	r.byPrint.insert(c.print[:], i, r.printOf)
}

func (r *replica) setIdentity(i uint32, c *credential, e *entry) {
	delete(r.identities, i)
	switch e.Identity {
	case "":
		c.identity = noIdentity
	case plainForm(e.ICCID, e.ID):
		c.identity = plainIdentity
	default:
		c.identity, r.identities[i] = longIdentity, e.Identity
	}
}

// plainForm is the identity that the platform gives a PSK.
func plainForm(iccid, id string) string { return iccid + "." + id[max(0, len(id)-12):] }

func (r *replica) setProof(c *credential, given *api.Confirmation) {
	if given == nil || len(given.Challenge) != len(proof{}.challenge) || len(given.Proof) != len(proof{}.proof) {
		if c.proof != 0 {
			r.proofs.remove(c.proof - 1)
			c.proof = 0
		}
		return
	}
	var p *proof
	if c.proof == 0 {
		c.proof, p = r.proofs.add()
		c.proof++
	} else {
		p = r.proofs.edit(c.proof - 1)
	}
	copy(p.challenge[:], given.Challenge)
	copy(p.proof[:], given.Proof)
}

// sim is the number of a SIM, which is new if need be.
func (r *replica) sim(iccid string) uint32 {
	key, _ := packICCID(iccid)
	i, ok := r.byICCID.find(key[:], func(i uint32) bool { return r.sims.at(i).iccid == key })
	if !ok {
		var s *sim
		i, s = r.sims.add()
		s.iccid = key
		r.byICCID.insert(key[:], i, func(i uint32) []byte { return r.sims.at(i).iccid[:] })
	}
	return i
}

func (r *replica) fleet(name string) uint32 {
	no, ok := r.fleetNo[name]
	if !ok {
		name = strings.Clone(name)
		no = uint32(len(r.fleets))
		r.fleets, r.fleetNo[name] = append(r.fleets, name), no
	}
	return no
}

func (r *replica) insert(of uint32, id string) uint32 {
	i, c := r.credentials.add()
	key, short := packID(id)
	c.id, c.longID, c.sim = key, !short, of
	if !short {
		r.ids[i] = id
	}
	s := r.sims.edit(of)
	c.next, s.first = s.first, i+1
	r.byID.insert(key[:], i, r.idOf)
	return i
}

// remove forgets a credential.
func (r *replica) remove(i uint32) {
	c := r.credentials.at(i)
	r.byID.remove(c.id[:], i, r.idOf)
	if c.print != (Fingerprint{}) {
		r.byPrint.remove(c.print[:], i, r.printOf)
	}
	if c.proof != 0 {
		r.proofs.remove(c.proof - 1)
	}
	r.dropSerial(i, c)
	delete(r.ids, i)
	delete(r.identities, i)
	if s := r.sims.edit(c.sim); s.first == i+1 {
		s.first = c.next
	} else {
		before := s.first - 1
		for r.credentials.at(before).next != i+1 {
			before = r.credentials.at(before).next - 1
		}
		r.credentials.edit(before).next = c.next
	}
	r.credentials.remove(i)
}

func (r *replica) idOf(i uint32) []byte    { return r.credentials.at(i).id[:] }
func (r *replica) printOf(i uint32) []byte { return r.credentials.at(i).print[:] }

func (r *replica) findID(id string) (uint32, bool) {
	key, short := packID(id)
	return r.byID.find(key[:], func(i uint32) bool {
		c := r.credentials.at(i)
		return c.id == key && c.longID == !short && (short || r.ids[i] == id)
	})
}

// byFingerprint finds a credential, which is good to look at until the next change.
func (r *replica) byFingerprint(print *Fingerprint) *credential {
	if *print == (Fingerprint{}) {
		return nil
	}
	i, ok := r.byPrint.find(print[:], func(i uint32) bool { return r.credentials.at(i).print == *print })
	if !ok {
		return nil
	}
	return r.credentials.at(i)
}

// byCredentialID is byFingerprint for the platform's name of a credential.
func (r *replica) byCredentialID(id string) *credential {
	i, ok := r.findID(id)
	if !ok {
		return nil
	}
	return r.credentials.at(i)
}

// simOf is the number of a SIM, and false if it is not known.
func (r *replica) simOf(iccid string) (uint32, bool) {
	key, ok := packICCID(iccid)
	if !ok {
		return 0, false
	}
	return r.byICCID.find(key[:], func(i uint32) bool { return r.sims.at(i).iccid == key })
}

// of goes through the credentials of a SIM.
func (r *replica) of(sim uint32) iter.Seq2[uint32, *credential] {
	return func(yield func(uint32, *credential) bool) {
		for next := r.sims.at(sim).first; next != 0; {
			c := r.credentials.at(next - 1)
			if !yield(next-1, c) {
				return
			}
			next = c.next
		}
	}
}

// forget drops credentials that can never be used again and are past their end, among
// some of the records: without it the replica would grow with every rotation. They are then
// unknown, which is refused as well. It tells where to go on, and false at the end.
func (r *replica) forget(now time.Time, from uint32) (next uint32, more bool) {
	const atOnce = 64 * chunkLen
	for i := from; i < r.credentials.used; i++ {
		if i-from == atOnce {
			return i, true
		}
		if c := r.credentials.at(i); c.kind != 0 && c.state.final() && c.notAfter != 0 && now.UnixMicro() > c.notAfter {
			r.remove(i)
		}
	}
	return 0, false
}

// secrets lists the PSKs that are accepted, by the IDs of their credentials: what the vault is to hold.
func (r *replica) secrets(yield func(id string) bool) {
	psk := typeOf(api.PSKType)
	for i := range r.credentials.used {
		if c := r.credentials.at(i); c.kind == psk && c.state.accepted() && !yield(r.idText(i, c)) {
			return
		}
	}
}

// size is about the number of entries that tell the whole state.
func (r *replica) size() int { return r.sims.len() + r.credentials.len() }

// entries tells the whole state, SIMs before credentials. An entry is good until the next.
func (r *replica) entries(yield func(*entry) bool) {
	for i := range r.sims.used {
		s := r.sims.at(i)
		if s.known && !yield(&entry{
			ICCID: unpackICCID(s.iccid), Fleet: r.fleets[s.fleet], State: stateNames[s.state], Attributes: r.attributes.at(s.attributes),
		}) {
			return
		}
	}
	for i := range r.credentials.used {
		c := r.credentials.at(i)
		if c.kind == 0 {
			continue
		}
		e := entry{
			ICCID: unpackICCID(r.sims.at(c.sim).iccid), Fleet: r.fleets[c.fleet], State: stateNames[c.state],
			ID: r.idText(i, c), Type: api.CredentialType(typeNames[c.kind]), Identity: r.identityText(i, c),
			Confirmation: r.confirmation(c), NotAfter: timeOf(c.notAfter),
		}
		if e.Type == api.CertificateType && c.print != (Fingerprint{}) {
			e.Fingerprint = c.print[:]
			if c.serial != 0 {
				e.Serial = r.serials.at(c.serial - 1)[:]
			}
		}
		if !yield(&e) {
			return
		}
	}
}

func (r *replica) idText(i uint32, c *credential) string {
	if c.longID {
		return r.ids[i]
	}
	return hex.EncodeToString(c.id[:])
}

// identityText is the identity of a PSK, empty if there is none.
func (r *replica) identityText(i uint32, c *credential) string {
	switch c.identity {
	case plainIdentity:
		return plainForm(unpackICCID(r.sims.at(c.sim).iccid), r.idText(i, c))
	case longIdentity:
		return r.identities[i]
	}
	return ""
}

func (r *replica) confirmation(c *credential) *api.Confirmation {
	if c.proof == 0 {
		return nil
	}
	p := *r.proofs.at(c.proof - 1)
	return &api.Confirmation{Challenge: p.challenge[:], Proof: p.proof[:]}
}

// identify is whose credential it is.
func (r *replica) identify(c *credential) Identity {
	h := r.holder(c)
	return h.identity()
}

// holder is an [Identity] whose texts are not made yet: many connections are never asked.
type holder struct {
	iccid    [10]byte
	id       [16]byte
	longID   string // in place of id
	fleet    string
	kind     typeCode
	notAfter int64

	attributes Attributes
}

func (r *replica) holder(c *credential) holder {
	s := r.sims.at(c.sim)
	h := holder{
		iccid: s.iccid, id: c.id, fleet: r.fleets[c.fleet], kind: c.kind, notAfter: c.notAfter,
		attributes: r.attributes.at(s.attributes),
	}
	if c.longID {
		i, _ := r.byID.find(c.id[:], func(i uint32) bool { return r.credentials.at(i) == c })
		h.longID = r.ids[i]
	}
	return h
}

// identity makes the texts, in one allocation.
func (h *holder) identity() Identity {
	if h.kind == 0 {
		return Identity{}
	}
	id := Identity{Fleet: h.fleet, Type: api.CredentialType(typeNames[h.kind]), NotAfter: timeOf(h.notAfter), Attributes: h.attributes}
	var text [20 + 32]byte
	digits := appendICCID(text[:0], h.iccid)
	if h.longID != "" {
		id.ICCID, id.Credential = string(digits), h.longID
		return id
	}
	both := string(hex.AppendEncode(digits, h.id[:]))
	id.ICCID, id.Credential = both[:len(digits)], both[len(digits):]
	return id
}

// timeOf is the inverse of micros.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// refusal is why the credential may not begin a connection, nil if it may.
func (r *replica) refusal(c *credential, now time.Time) error {
	if c.state == superseded {
		return ErrSuperseded
	}
	return r.cut(c, now)
}

// cut is why the credential may not even go on with a connection, nil if it may.
func (r *replica) cut(c *credential, now time.Time) error {
	state := r.sims.at(c.sim).state
	switch {
	case c.state == revoked:
		return ErrRevoked
	case state == terminated:
		return ErrTerminated
	case state == suspended:
		return ErrSuspended
	case c.state == expired, c.notAfter != 0 && now.UnixMicro() >= c.notAfter:
		return ErrExpired
	case !c.state.accepted() && c.state != superseded:
		return ErrNotIssued
	}
	return nil
}

// barred tells whether the SIM once had a credential, or was let in, and has nothing now
// that is accepted.
func (r *replica) barred(sim uint32, now time.Time) bool {
	if state := r.sims.at(sim).state; state == suspended || state == terminated {
		return true
	}
	over := false
	for _, c := range r.of(sim) {
		if r.refusal(c, now) == nil {
			return false
		}
		over = over || c.state.final() || c.state.accepted()
	}
	return over
}

// packICCID is a number of 1 to 20 digits in halves of bytes.
func packICCID(digits string) (packed [10]byte, ok bool) {
	if len(digits) < 1 || len(digits) > 20 {
		return packed, false
	}
	packed = [10]byte(bytes.Repeat([]byte{0xFF}, 10))
	for i := range len(digits) {
		d := digits[i] - '0'
		if d > 9 {
			return packed, false
		}
		packed[i/2] &^= 0xF << (4 - i%2*4)
		packed[i/2] |= d << (4 - i%2*4)
	}
	return packed, true
}

func appendICCID(to []byte, packed [10]byte) []byte {
	for i := range 20 {
		d := packed[i/2] >> (4 - i%2*4) & 0xF
		if d == 0xF {
			break
		}
		to = append(to, '0'+d)
	}
	return to
}

func unpackICCID(packed [10]byte) string {
	var text [20]byte
	return string(appendICCID(text[:0], packed))
}

// packID is the 16 bytes that an ID stands for in hexadecimal, or false with a part of its hash.
func packID(id string) (packed [16]byte, short bool) {
	if len(id) == 2*len(packed) && strings.ToLower(id) == id {
		if _, err := hex.Decode(packed[:], []byte(id)); err == nil {
			return packed, true
		}
	}
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:]), false
}
