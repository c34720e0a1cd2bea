package vsim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/domain"
	"github.com/simroot/simroot/vsim/image"
)

// Sizes and versions of a new card.
const (
	keySize    = 16   // of SCP03 keys, in bytes
	keyVersion = 0x30 // of the SCP03 key set

	certificateSize = 2048 // capacity of a file, in bytes
)

// profile is what a kind of card is delivered with.
type profile struct {
	name    string
	typ     int // of the applet, 1 or 2
	objects []iotsafe.Object
}

// profiles holds the kinds of cards that [Profile] makes. In "common" the identifiers are
// those that clients in the field expect (key 01, client certificate 02, trust anchor 03),
// with a spare slot (11, 12) so that a rotation never overwrites what works.
var profiles = []profile{
	{"common", 1, slices.Concat(
		keyPair("\x01", "simroot A"),
		keyPair("\x11", "simroot B"),
		secrets,
		[]iotsafe.Object{
			certificate("\x02", "simroot A"),
			certificate("\x12", "simroot B"),
			certificate("\x03", "trust anchor"),
		},
	)},
	{"type2", 2, secrets},
}

var secrets = []iotsafe.Object{secret("\x21", "simroot A"), secret("\x22", "simroot B")}

// Profiles lists the names that [Profile] knows.
func Profiles() []string {
	var names []string
	for _, p := range profiles {
		names = append(names, p.name)
	}
	return names
}

// Profile is the state of a new card with the given ICCID, fresh random SCP03 keys and
// empty containers: "common" has key pairs, certificates and secrets (Type I), "type2"
// secrets only.
func Profile(name string, iccid string) (image.State, error) {
	i := slices.IndexFunc(profiles, func(p profile) bool { return p.name == name })
	if i < 0 {
		return image.State{}, fmt.Errorf("unknown card profile %q: want one of %s", name, strings.Join(Profiles(), ", "))
	}
	keys, err := scp03.NewKeys(keySize)
	if err != nil {
		return image.State{}, err
	}
	store, err := applet.NewState(profiles[i].typ, profiles[i].objects...)
	if err != nil {
		return image.State{}, fmt.Errorf("card profile %q: %w", name, err)
	}
	s := image.State{ICCID: iccid, ATR: "uicc", Domain: domain.NewState(keys, keyVersion), Applet: store}
	return s, s.Check()
}

// keyPair is a private and a public key that belong together: the same identifier and
// label.
func keyPair(id iotsafe.ID, label string) []iotsafe.Object {
	private := iotsafe.Object{
		Kind: iotsafe.PrivateKey, ID: id, Label: label,
		KeyType: iotsafe.P256Persistent, Usage: iotsafe.General,
		Functions:  iotsafe.Signing | iotsafe.KeyGeneration,
		Signatures: iotsafe.ECDSA, Hashes: iotsafe.SHA256,
	}
	public := private
	public.Kind, public.Access = iotsafe.PublicKey, iotsafe.Readable
	return []iotsafe.Object{private, public}
}

func certificate(id iotsafe.ID, label string) iotsafe.Object {
	return iotsafe.Object{
		Kind: iotsafe.File, ID: id, Label: label, Access: iotsafe.Readable,
		Usage: iotsafe.X509Certificate, Size: certificateSize,
	}
}

func secret(id iotsafe.ID, label string) iotsafe.Object {
	return iotsafe.Object{
		Kind: iotsafe.SecretKey, ID: id, Label: label,
		KeyType: iotsafe.HMACSecret, Functions: iotsafe.KeyDerivation,
		Derivations: iotsafe.PRFSHA256 | iotsafe.HKDF,
	}
}
