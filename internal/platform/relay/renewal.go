package relay

import (
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// prepareRenewal does what comes before a certificate for the key in use is written over the one
// before. The agent tries it, if it can, and has it from the platform: the SIM is left alone until
// then. Then the other slot's file holds it too, so that a device finds a good certificate while its
// own place cannot be read, which is from the first block of the writing to the last (GSMA IoT.05,
// status 6984), and for as long as a cut may leave it so.
func (w *walk) prepareRenewal(c credential.Record, store contents) (credential.Record, error) {
	var err error
	if w.canTryRenewal {
		if c, err = w.life.Deliver(w.ctx, w.session, c.ID); err != nil {
			return c, err
		}
		if err := w.try(c); err != nil {
			return c, err
		}
	}
	spare := perso.Ref{Kind: iotsafe.File, ID: w.fleet.Profile.Slots[1-c.Slot].Certificate}
	state, there := store[spare]
	if there && sameFile(state, c.Certificate) { // and a device may be reading it
		return c, nil
	}
	var prepare []perso.Op
	if !there {
		prepare = append(prepare, perso.Create{Object: certificateFile(w.fleet.Profile, 1-c.Slot)})
	}
	prepare = append(prepare, perso.WriteFile(spare.ID, c.Certificate)...)
	if c, _, err = w.deliver(c, prepare, []perso.Op{perso.Activate{Refs: []perso.Ref{spare}}}); err != nil {
		return c, err
	}
	store[spare] = perso.State{Ref: spare, Active: true} // for those who clear it away
	return c, nil
}

// certificateFile is the file of a slot for its certificate.
func certificateFile(p api.Profile, slot int) iotsafe.Object {
	return iotsafe.Object{
		Kind: iotsafe.File, ID: p.Slots[slot].Certificate, Label: slotLabel(slot), Access: iotsafe.Readable,
		Usage: iotsafe.X509Certificate, Size: fileCapacity,
	}
}
