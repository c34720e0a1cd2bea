package relay

import (
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// sameFile tells whether a file on the SIM has the given content and is in use.
func sameFile(s perso.State, content []byte) bool {
	return s.Active && s.Size == len(content) && s.Digest == perso.Digest(content)
}

// anchorRefs are the files for trust anchors on the SIM; none if the fleet wants none.
func (w *walk) anchorRefs() (refs []perso.Ref) {
	for _, id := range w.fleet.Profile.AnchorFiles() {
		refs = append(refs, perso.Ref{Kind: iotsafe.File, ID: id})
	}
	return refs
}

// anchor returns the operations that bring the platform's trust anchors to the SIM: those that
// write, and the files to activate and deactivate with the last block; nothing if all is as it should
// be. An anchor that the SIM has is not touched when another comes.
func (w *walk) anchor(store contents) (ops []perso.Op, activate, deactivate []perso.Ref) {
	for i, ref := range w.anchorRefs() {
		root := w.anchors.Places[i]
		state, there := store[ref]
		switch {
		case root == nil && there && state.Active:
			deactivate = append(deactivate, ref)
			continue
		case root == nil || there && sameFile(state, root.Raw):
			continue
		case !there:
			ops = append(ops, perso.Create{Object: iotsafe.Object{
				Kind: iotsafe.File, ID: ref.ID, Label: anchorLabels[i],
				Access: iotsafe.Readable, Usage: iotsafe.X509Certificate, Size: fileCapacity,
			}})
		}
		ops = append(ops, perso.WriteFile(ref.ID, root.Raw)...)
		activate = append(activate, ref)
	}
	return ops, activate, deactivate
}

// anchorLabels are those of the two files.
var anchorLabels = [2]string{"trust anchor", "trust anchor B"}

// bringAnchors brings the trust anchors to a SIM that needs nothing else.
func (w *walk) bringAnchors(store contents) (changed bool, err error) {
	ops, activate, deactivate := w.anchor(store)
	if len(activate) > 0 {
		ops = append(ops, perso.Activate{Refs: activate})
	}
	if len(deactivate) > 0 {
		ops = append(ops, perso.Deactivate{Refs: deactivate})
	}
	if len(ops) == 0 {
		return false, nil
	}
	_, err = w.personalize(ops...)
	return err == nil, err
}

// heldAnchors tells whether the SIM held the trust anchors when its store was read.
func (w *walk) heldAnchors(store contents) bool {
	ops, activate, deactivate := w.anchor(store)
	return len(ops)+len(activate)+len(deactivate) == 0
}

// countsAnchors tells whether it is of interest which trust anchors the SIM holds.
func (w *walk) countsAnchors() bool { return w.campaigns != nil && len(w.anchorRefs()) > 0 }

// anchored tells the campaigns that the SIM holds the trust anchors.
func (w *walk) anchored() error {
	if !w.countsAnchors() {
		return nil
	}
	return w.campaigns.Anchored(w.ctx, string(w.iccid), w.anchors.Set)
}

// fileCapacity is the size of a certificate file that the platform creates, in bytes.
const fileCapacity = 1024
