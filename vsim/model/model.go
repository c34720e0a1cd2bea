// Package model holds what is known of real cards: what their chips can do, and how long
// they take for it. A virtual SIM behaves as one of them when it is told to (docs/profiles.md).
package model

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
)

// Model is a card that can be bought, or a typical one.
type Model struct {
	Name   string // as the command line takes it
	Title  string // maker and product
	Source string // where the figures come from

	// Capabilities limit the applet to what the chip can do.
	Capabilities *applet.Capabilities

	// Timing is how long the chip takes; zero: not known, and not imitated.
	Timing Timing
}

// Timing is the time that a card takes for operations with P-256 keys.
type Timing struct {
	KeyGeneration, Sign, Verify, Agreement time.Duration
}

// curves are what every chip with elliptic curves can do of what the applet can.
func curves() *applet.Capabilities {
	return &applet.Capabilities{
		KeyTypes: []iotsafe.KeyType{
			iotsafe.P256Persistent, iotsafe.P256Volatile, iotsafe.BrainpoolP256Persist, iotsafe.BrainpoolP256Volatile,
			iotsafe.HMACSecret, iotsafe.AES128Secret, iotsafe.AES256Secret,
		},
		Functions:    iotsafe.Signing | iotsafe.KeyGeneration | iotsafe.KeyAgreement | iotsafe.KeyDerivation,
		Hashes:       iotsafe.SHA256 | iotsafe.SHA384 | iotsafe.SHA512,
		Signatures:   iotsafe.ECDSA,
		KeyAgreement: iotsafe.ECKA,
		Derivations:  iotsafe.PRFSHA256 | iotsafe.HKDF,
	}
}

// curvesAndRSA are [curves] and RSA beside them.
func curvesAndRSA() *applet.Capabilities {
	c := curves()
	c.KeyTypes = append(c.KeyTypes, iotsafe.RSA2048)
	c.Signatures |= iotsafe.RSAPKCS1v15 | iotsafe.RSAPSS
	return c
}

// jcalgtest is where cards are measured with one applet for all: every figure is that of
// the algorithm, without the transport.
const jcalgtest = "JCAlgTest (github.com/crocs-muni/jcalgtest_results), "

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// Models lists the known cards.
var Models = []Model{
	{
		Name: "j3r180", Title: "NXP JCOP 4 J3R180 (P71)",
		Source:       jcalgtest + "performance of NXP_JCOP4_J3R180_P71, P-256",
		Capabilities: curvesAndRSA(),
		Timing:       Timing{KeyGeneration: ms(26.8), Sign: ms(32.0), Verify: ms(30.2), Agreement: ms(20.0)},
	}, {
		Name: "smartcafe7", Title: "G+D SmartCafe 7.0",
		Source:       jcalgtest + "performance of G+D_SmartCafe_7.0_215K_USB_Token_S, P-256",
		Capabilities: curvesAndRSA(),
		Timing:       Timing{KeyGeneration: ms(207), Sign: ms(52.3), Verify: ms(67.9), Agreement: ms(63.7)},
	}, {
		Name: "simome", Title: "Taisys SIMoME VAULT, a SIM",
		Source:       jcalgtest + "performance and results of Taisys_SIMoME_VAULT, P-256; it was not measured signing",
		Capabilities: curvesAndRSA(),
		Timing:       Timing{KeyGeneration: ms(868), Agreement: ms(109)},
	}, {
		Name: "sja5", Title: "sysmocom sysmoISIM-SJA5, a SIM that anybody can program",
		Source: jcalgtest + "results of sysmoISIM-SJA5-9FV and -S17: no RSA, no elliptic curves, HMAC with SHA-256 but not 384 or 512, AES-128",
		Capabilities: &applet.Capabilities{
			KeyTypes:    []iotsafe.KeyType{iotsafe.HMACSecret, iotsafe.AES128Secret},
			Functions:   iotsafe.KeyDerivation,
			Hashes:      iotsafe.SHA256,
			Derivations: iotsafe.PRFSHA256 | iotsafe.HKDF,
		},
	}, {
		Name: "median", Title: "the median of cards with P-256",
		Source:       jcalgtest + "median over all cards measured with P-256",
		Capabilities: curves(),
		Timing:       Timing{KeyGeneration: ms(156), Sign: ms(59), Verify: ms(66), Agreement: ms(105)},
	},
}

// Names lists the names of the known cards.
func Names() []string {
	names := make([]string, len(Models))
	for i, m := range Models {
		names[i] = m.Name
	}
	return names
}

// Named returns a known card.
func Named(name string) (*Model, error) {
	i := slices.IndexFunc(Models, func(m Model) bool { return m.Name == strings.ToLower(name) })
	if i < 0 {
		return nil, fmt.Errorf("unknown card %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	return &Models[i], nil
}

// Carries tells whether such a card could hold an applet with this store: an error names
// the first object that it could not.
func (m *Model) Carries(s applet.State) error {
	if s.Type == 1 && m.Capabilities.Functions&iotsafe.Signing == 0 {
		return fmt.Errorf("card %s has no asymmetric keys: its applet is of Type II (profile type2)", m.Name)
	}
	for _, c := range s.Objects {
		if c.Object.Kind != iotsafe.File && !m.Capabilities.HasKeyType(c.Object.KeyType) {
			return fmt.Errorf("card %s cannot hold %s %s: it has no such type of key", m.Name, c.Object.Kind, c.Object.ID)
		}
	}
	return nil
}

// Of is how long the card takes for a command of IoT.05 that succeeded, 0 if the model
// does not say. ins and p1 are those of the command.
func (t Timing) Of(ins, p1 byte) time.Duration {
	const last = 0x80
	switch {
	case ins == 0xB9: // GENERATE KEY PAIR
		return t.KeyGeneration
	case ins == 0x2B && p1&last != 0: // COMPUTE SIGNATURE UPDATE
		return t.Sign
	case ins == 0x2D && p1&last != 0: // VERIFY SIGNATURE UPDATE
		return t.Verify
	case ins == 0x46: // COMPUTE DH
		return t.Agreement
	}
	return 0
}
