package vsim

import (
	"fmt"

	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/vsim/domain"
	"github.com/simroot/simroot/vsim/image"
	"github.com/simroot/simroot/vsim/profile"
)

// Sizes and versions of a new card.
const (
	keySize    = 16   // of SCP03 keys, in bytes
	keyVersion = 0x30 // of the SCP03 key set
)

// Profiles lists the names that [Profile] knows.
func Profiles() []string { return profile.Names() }

// Profile is the state of a new card with the given ICCID, fresh random SCP03 keys and
// the containers of a personalisation profile: one of [Profiles], or a YAML file of one's
// own (docs/profiles.md). "common" has key pairs, certificates and secrets (Type I),
// "type2" secrets only.
func Profile(name string, iccid string) (image.State, error) {
	p, err := profile.Find(name)
	if err != nil {
		return image.State{}, err
	}
	keys, err := scp03.NewKeys(keySize)
	if err != nil {
		return image.State{}, err
	}
	store, err := p.State()
	if err != nil {
		return image.State{}, err
	}
	s := image.State{ICCID: iccid, ATR: "uicc", Profile: name, Domain: domain.NewState(keys, keyVersion), Applet: store}
	if err := s.Check(); err != nil {
		return s, fmt.Errorf("card profile %s: %w", name, err)
	}
	return s, nil
}
