package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/campaign"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// walk is one switch-on of one SIM.
type walk struct {
	registry *registry.Registry
	life     *credential.Life
	anchors  ca.Anchors
	now      func() time.Time

	campaigns Campaigns // nil: there are none
	wish      campaign.Wish
	sim       api.SIM

	session string // as the database knows it; the name that the agent knows lets one speak in it
	iccid   card.ICCID
	fleet   api.Fleet
	keys    registry.SIMKeys
	applet  []byte

	// What the agent says of itself.
	canTry, canTryRenewal bool

	// wrote tells that the trust anchors went to the SIM with the credential.
	wrote bool

	// replaces tells that the SIM has a good credential, which is to work until the new one does.
	replaces bool

	// renewing tells that the credential under way is a certificate for the key that is in use.
	renewing bool

	// Of the request that is being served: see session.advanceLocked.
	ctx       context.Context
	yield     func(order) bool
	responses [][]byte

	channel secureChannel

	// How it ended.
	result *api.RelayResult
	err    error
}

// run is the walk, from the first command to the last. Wherever it is cut, the SIM keeps the
// credential it had, and the next walk goes on from what the SIM then holds.
func (w *walk) run() (*api.RelayResult, error) {
	if err := w.authenticate(); err != nil {
		return nil, err
	}
	store, err := w.readState()
	if err != nil {
		return nil, err
	}
	active, unfinished, err := w.begun(store)
	if err != nil {
		return nil, err
	}
	if w.campaigns != nil && active != nil {
		if w.wish, err = w.campaigns.Due(w.ctx, w.sim, active.Credential); err != nil {
			return nil, err
		}
	}
	if active != nil && unfinished == nil && w.good(*active, store) && !w.wish.Replaces() {
		return w.keep(*active, store)
	}
	c, err := w.choose(active, unfinished, store)
	if err != nil {
		return nil, err
	}
	if active != nil && active.Type == c.Type && w.holds(*active, store, true) {
		w.renewing = active.Slot == c.Slot
		w.replaces = !w.renewing
	}
	switch w.fleet.Profile.Type {
	case api.PSKType:
		c, err = w.deliverSecret(c, store)
	default:
		c, err = w.deliverCertificate(c, store)
	}
	if err != nil {
		return nil, err
	}
	return w.end(c, true), nil
}

// keep ends a walk to a SIM whose credential is good. What is left in the other slot, of one that was
// revoked on its way, goes out of use. If a campaign wants it, the SIM gets the trust anchors that it
// lacks.
func (w *walk) keep(active credential.Record, store contents) (*api.RelayResult, error) {
	if w.slotInUse(1-active.Slot, store) {
		if _, err := w.personalize(w.switchTo(active.Slot, store)...); err != nil {
			return nil, err
		}
	}
	if w.wish.Kind == api.AnchorAll {
		if _, err := w.bringAnchors(store); err != nil {
			return nil, err
		}
		return w.end(active, false), w.anchored()
	}
	if w.heldAnchors(store) {
		if err := w.anchored(); err != nil {
			return nil, err
		}
	}
	return w.end(active, false), nil
}

func (w *walk) end(c credential.Record, changed bool) *api.RelayResult {
	return &api.RelayResult{
		Credential: c.Credential,
		Changed:    changed,
		RenewAt:    w.comeAgain(c),
	}
}

// comeAgain is when the device is to come next: for the renewal, or to see if there is anything
// else for it.
func (w *walk) comeAgain(c credential.Record) time.Time {
	at := c.NotAfter.Add(-time.Duration(w.fleet.Profile.RenewBefore))
	if every := time.Duration(w.fleet.Profile.CheckIn); every > 0 {
		if look := w.now().Add(every); look.Before(at) {
			return look.UTC().Truncate(time.Second)
		}
	}
	return at
}

// begun notes that the SIM has proved itself, and finds its active credential and the one under way, if
// there are any. One that has none may be given its first by this.
func (w *walk) begun(store contents) (active, unfinished *credential.Record, err error) {
	var records []credential.Record
	if err := w.registry.Authenticated(w.ctx, string(w.iccid), w.session, w.life.Begun(w.freeSlot(store), &records)); err != nil {
		return nil, nil, err
	}
	for i := range records {
		if records[i].State == api.Active {
			active = &records[i]
		} else {
			unfinished = &records[i]
		}
	}
	return active, unfinished, nil
}

// good tells whether the SIM holds the credential, can use it, and need not renew it yet.
func (w *walk) good(c credential.Record, store contents) bool {
	renewAt := c.NotAfter.Add(-time.Duration(w.fleet.Profile.RenewBefore))
	return c.Type == w.fleet.Profile.Type && c.Fleet == w.fleet.Name && w.now().Before(renewAt) && w.holds(c, store, true)
}

// holds tells whether the slot of a credential contains what belongs there.
func (w *walk) holds(c credential.Record, store contents, activated bool) bool {
	slot := w.fleet.Profile.Slots[c.Slot]
	if c.Type == api.PSKType {
		s, there := store.get(iotsafe.SecretKey, slot.Secret)
		return there && s.Filled() && s.Active == activated
	}
	key, there := store.get(iotsafe.PrivateKey, slot.PrivateKey)
	file, thereToo := store.get(iotsafe.File, slot.Certificate)
	return there && thereToo && key.Active == activated && file.Active == activated &&
		keyMatches(c, key) && file.Digest == perso.Digest(c.Certificate)
}

// choose returns the credential to put on the SIM: the one under way if the SIM can go
// on with it, otherwise a new one.
func (w *walk) choose(active, unfinished *credential.Record, store contents) (credential.Record, error) {
	if unfinished != nil {
		if w.canGoOn(*unfinished, active, store) {
			return *unfinished, nil
		}
		if err := w.life.Abandon(w.ctx, w.session, unfinished.ID, "the SIM does not hold its key any more"); err != nil {
			return credential.Record{}, err
		}
	}
	renew, err := w.renews(active, store)
	if err != nil {
		return credential.Record{}, err
	}
	if renew {
		if err := w.proveKey(active.Slot, active.PublicKey); err != nil {
			return credential.Record{}, err
		}
		return w.life.Renew(w.ctx, w.session, string(w.iccid))
	}
	var proved *ecdsa.PublicKey
	if active == nil && w.fleet.Profile.Grace > 0 {
		if proved, err = w.lineage(store); err != nil {
			return credential.Record{}, err
		}
	}
	slot := w.freeSlot(store)
	if active != nil {
		slot = 1 - active.Slot
	}
	return w.life.Request(w.ctx, w.session, string(w.iccid), slot, proved)
}

// renews tells whether the SIM's next credential has the key of the one that it uses.
func (w *walk) renews(active *credential.Record, store contents) (bool, error) {
	wanted := w.wish.Kind == api.RenewAll || w.wish.Kind != api.RotateAll && w.fleet.Profile.Renewal == api.Renew
	if !wanted || active == nil || active.Type != api.CertificateType || w.fleet.Profile.Type != api.CertificateType || !w.holds(*active, store, true) {
		return false, nil
	}
	return w.life.Renewable(w.ctx, *active)
}

// canGoOn tells whether an unfinished credential is still of use.
func (w *walk) canGoOn(c credential.Record, active *credential.Record, store contents) bool {
	if c.Type != w.fleet.Profile.Type || active != nil && active.Slot == c.Slot && !bytes.Equal(active.PublicKey, c.PublicKey) {
		return false
	}
	if c.State == api.Requested || c.Type == api.PSKType {
		return true
	}
	if !c.NotAfter.IsZero() && !w.now().Before(c.NotAfter) {
		return false
	}
	key, there := store.get(iotsafe.PrivateKey, w.fleet.Profile.Slots[c.Slot].PrivateKey)
	return there && keyMatches(c, key)
}

// keyMatches tells whether an object holds the credential's key.
func keyMatches(c credential.Record, key perso.State) bool {
	public, err := x509.ParsePKIXPublicKey(c.PublicKey)
	if err != nil {
		return false
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	point, err := ec.Bytes()
	return err == nil && key.Digest == perso.Digest(point)
}

// freeSlot is where the credential goes of a SIM that has none.
func (w *walk) freeSlot(store contents) int {
	if w.slotInUse(0, store) && !w.slotInUse(1, store) {
		return 1
	}
	return 0
}

func (w *walk) slotInUse(i int, store contents) bool {
	for _, ref := range slotRefs(w.fleet.Profile, i) {
		if s, there := store[ref]; there && s.Active {
			return true
		}
	}
	return false
}

// slotRefs are the objects of one slot.
func slotRefs(p api.Profile, i int) []perso.Ref {
	s := p.Slots[i]
	if p.Type == api.PSKType {
		return []perso.Ref{{Kind: iotsafe.SecretKey, ID: s.Secret}}
	}
	return []perso.Ref{
		{Kind: iotsafe.PrivateKey, ID: s.PrivateKey},
		{Kind: iotsafe.PublicKey, ID: s.PublicKey},
		{Kind: iotsafe.File, ID: s.Certificate},
	}
}

// deliver brings a credential to the SIM: prepare fills its slot, commit makes the SIM use
// it. Between the two the platform commits that application servers accept it: they must,
// before the SIM may use it. It returns what the commit answered.
func (w *walk) deliver(c credential.Record, prepare, commit []perso.Op) (credential.Record, []perso.Answer, error) {
	commands, err := perso.Staged(prepare, commit)
	if err != nil {
		return c, nil, err
	}
	last := len(commands) - 1
	if _, err := w.begin(commands[:last]...); err != nil {
		return c, nil, err
	}
	if c, err = w.life.Deliver(w.ctx, w.session, c.ID); err != nil {
		return c, nil, err
	}
	answers, err := w.proceed(commands[last])
	return c, answers, err
}

// activate notes that the SIM uses a credential, and the trust anchors that it holds.
func (w *walk) activate(c credential.Record, store contents, confirmation *api.Confirmation) (credential.Record, error) {
	anchors := ""
	if (w.wrote || w.heldAnchors(store)) && w.countsAnchors() {
		anchors = w.anchors.Set
	}
	return w.life.Activate(w.ctx, w.session, c.ID, confirmation, anchors)
}

// onTrial tells whether a new credential is tried before it takes the place of the one in
// use. Where there is none to lose, or an agent that can try nothing, it is used at once.
func (w *walk) onTrial() bool { return w.canTry && w.replaces }

// try has the agent use a credential that the SIM holds beside the one in use, or a certificate for
// the key in use that it does not hold yet. Unless that works, the walk ends here: the SIM stays as it is, the platform too, and servers accept both
// credentials; the next walk comes back to this place.
func (w *walk) try(c credential.Record) error {
	if !w.yield(order{trial: &c.Credential}) {
		return sessionEnded()
	}
	return nil
}

// switchTo makes a slot the one that the device uses from now on, and its only one.
func (w *walk) switchTo(slot int, store contents, more ...perso.Ref) []perso.Op {
	ops := []perso.Op{perso.Activate{Refs: append(slotRefs(w.fleet.Profile, slot), more...)}}
	var old []perso.Ref
	for _, ref := range slotRefs(w.fleet.Profile, 1-slot) {
		if s, there := store[ref]; there && s.Active {
			old = append(old, ref)
		}
	}
	if len(old) > 0 {
		ops = append(ops, perso.Deactivate{Refs: old})
	}
	return ops
}

func newChallenge() (c [perso.ChallengeSize]byte) {
	rand.Read(c[:]) // never fails (crypto/rand)
	return c
}

// misbehaved is the refusal of an answer that cannot be true.
func misbehaved(format string, args ...any) error {
	return refuse(http.StatusConflict, api.CodeCardMisbehaved, format, args...)
}

// contents is what the SIM's store holds, as far as the walk has asked.
type contents map[perso.Ref]perso.State

func (c contents) get(kind iotsafe.Kind, id iotsafe.ID) (perso.State, bool) {
	s, there := c[perso.Ref{Kind: kind, ID: id}]
	return s, there
}

// readState asks the SIM what the objects of the profile hold.
func (w *walk) readState() (contents, error) {
	refs := append(slotRefs(w.fleet.Profile, 0), slotRefs(w.fleet.Profile, 1)...)
	refs = append(refs, w.anchorRefs()...)
	store := contents{}
	for len(refs) > 0 {
		n := fitting(refs)
		answers, err := w.personalize(perso.ReadState{Refs: refs[:n]})
		if err != nil {
			return nil, err
		}
		if len(answers) != 1 {
			return nil, misbehaved("the card gave %d answers to one question about its store", len(answers))
		}
		state, ok := answers[0].(perso.StateAnswer)
		if !ok {
			return nil, misbehaved("the card answered %T when asked about its store", answers[0])
		}
		for _, s := range state.Objects {
			store[s.Ref] = s
		}
		refs = refs[n:]
	}
	return store, nil
}

// fitting is how many references one answer is sure to have room for.
func fitting(refs []perso.Ref) int {
	full := perso.StateAnswer{}
	for i, ref := range refs {
		s := perso.State{Ref: ref}
		s.Digest[0] = 1
		full.Objects = append(full.Objects, s)
		if _, err := perso.EncodeAnswers(full); err != nil {
			return i
		}
	}
	return len(refs)
}

// slotLabel is the label that ties the objects of one slot together: the device finds the
// certificate of a key by it.
func slotLabel(i int) string { return "simroot " + string("AB"[i]) }
