package vsim

import (
	"os"
	"time"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/image"
	"github.com/simroot/simroot/vsim/model"
)

// Option says how a virtual SIM is opened, made or powered.
type Option func(*option)

type option struct {
	passphrase image.Passphrase
	model      string
	timing     bool
}

func collect(options []Option) (o option) {
	for _, set := range options {
		set(&o)
	}
	return o
}

// WithPassphrase opens an image that is under a passphrase, or makes one. An image
// without is opened too. nil is no passphrase.
func WithPassphrase(p image.Passphrase) Option { return func(o *option) { o.passphrase = p } }

// WithModel makes the SIM behave as the given real card (see package model) while it is
// powered, in the place of the one that its image names. "" leaves that one.
func WithModel(name string) Option { return func(o *option) { o.model = name } }

// WithTiming makes the SIM take as long for its answers as its model does.
func WithTiming() Option { return func(o *option) { o.timing = true } }

// PassphraseVariable is the environment variable with the passphrase of the images that
// "vsim:" card URIs name.
const PassphraseVariable = "SIMROOT_PASSPHRASE"

// EnvironmentPassphrase is the passphrase in the environment, nil if there is none.
func EnvironmentPassphrase() image.Passphrase {
	if p := os.Getenv(PassphraseVariable); p != "" {
		return image.Passphrase(p)
	}
	return nil
}

// behave limits the applet to what the card's model can do, and the card to its pace if
// that is asked for.
func (c *Card) behave(start *applet.State, o option) error {
	name := o.model
	if name == "" {
		name = c.state.Model
	}
	if name == "" {
		return nil
	}
	m, err := model.Named(name)
	if err != nil {
		return err
	}
	if err := m.Carries(*start); err != nil {
		return err
	}
	start.Capabilities = m.Capabilities
	if o.timing {
		c.timing = m.Timing
	}
	return nil
}

// processInTime carries out a command and keeps its answer back until the model would
// have it. It tells commands by their instruction: those that take time are the applet's
// alone. What a personalisation makes within the secure channel takes no longer.
func (c *Card) processInTime(command []byte) []byte {
	start := time.Now()
	answer := c.uicc.Process(command)
	if len(command) < 4 || !done(answer) {
		return answer
	}
	if rest := c.timing.Of(command[1], command[2]) - time.Since(start); rest > 0 {
		time.Sleep(rest)
	}
	return answer
}

// done tells that a command was carried out: its status word is success, or it says that a
// signature does not match, which took as long to find out.
func done(answer []byte) bool {
	r, err := apdu.ParseResponse(answer)
	if err != nil {
		return false
	}
	return r.SW.Succeeded() || r.SW>>8 == 0x61 || r.SW == apdu.SignatureMismatch
}
