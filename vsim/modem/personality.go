package modem

import (
	"fmt"
	"slices"
	"strings"
)

// Personality is how one kind of modem departs from the specification. Its zero value
// departs in nothing.
type Personality struct {
	Name   string
	Text   string // what it does, for people
	Source string // who has seen it, or which clause allows it

	Maker, Model string // what it calls itself; "" is this program's own

	Echo   bool // sends back what comes, until ATE0
	Errors int  // +CMEE at the start: 0 ERROR, 1 numbers, 2 words
	Baud   int  // speed of the line in bit/s; 0: as fast as it goes

	Lacks     []string // commands that it does not know
	LacksTest []string // commands of which it does not know the test form

	BareHandle    bool   // +CCHO answers the handle alone on its line
	HandleOffset  int    // a session's handle is its channel's number plus this
	HandleFormat  string // of the handle, for fmt; "" is decimal
	AnnounceClose bool   // +CCHC answers a line of its own before OK

	NoQuotes    bool // no quotes around what the card answered
	AnswerLimit int  // bytes of a card's answer that get through, status word included; 0: all
	CutUnseen   bool // the length before a cut answer is that of what is left

	BasicChannelOnly bool   // +CSIM refuses APDUs for any channel but 0
	DropsLe          bool   // takes Le off commands that carry data
	GetsResponse     bool   // follows 61xx and 6Cxx itself
	RefusesLe        bool   // answers ERROR to commands with data and Le
	RefusesCommands  []byte // answers ERROR to these instructions
	OKAlone          []byte // +CSIM answers OK alone to these instructions if no data came
	HidesRefusals    bool   // answers ERROR when the card refuses

	NoProfile    bool // no enabled profile: refuses with 13 whatever concerns the SIM
	BusyCommands int  // refuses so many SIM commands with 14 after each start
	LosesSelect  int  // loses the first SELECT by AID and every nth from there, with 0

	// Unsolicited lines come in turn, before and after the information text of an answer.
	Unsolicited []string
}

// Lookup finds a personality by name; "" is the default one.
func Lookup(name string) (Personality, error) {
	if name == "" {
		return personalities[0], nil
	}
	for _, p := range personalities {
		if p.Name == name {
			return p, nil
		}
	}
	var names []string
	for _, p := range personalities {
		names = append(names, p.Name)
	}
	return Personality{}, fmt.Errorf("unknown modem personality %q: want one of %s", name, strings.Join(names, ", "))
}

// Personalities are all there are, the default one first.
func Personalities() []Personality { return slices.Clone(personalities) }

func (p Personality) settings() settings { return settings{echo: p.Echo, errors: p.Errors} }

func (p Personality) lacks(command string) bool { return slices.Contains(p.Lacks, command) }

func (p Personality) lacksTest(command string) bool { return slices.Contains(p.LacksTest, command) }

func (p Personality) handleFormat() string {
	if p.HandleFormat == "" {
		return "%d"
	}
	return p.HandleFormat
}
