package relay

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/perso"
)

// Instructions that a refusal is explained for (GPCS 2.3.1, chapter 11).
const (
	insSelect               = 0xA4
	insInitializeUpdate     = 0x50
	insExternalAuthenticate = 0x82
	insInstall              = 0xE6
	insStoreData            = 0xE2
)

// secureChannel is the host end of the session with the SIM's security domain. Its
// commands may be sent several at a time: wrapping does not need the answers.
type secureChannel struct {
	host *scp03.Host
	// greeting is EXTERNAL AUTHENTICATE, which goes out together with the first sealed commands.
	greeting *apdu.Command
}

// authenticate opens the channel: it selects the security domain, and checks that the
// card holds this SIM's keys. That the card believes us shows with the first answer.
func (w *walk) authenticate() error {
	var challenge [8]byte
	rand.Read(challenge[:]) // never fails (crypto/rand)
	host, err := scp03.NewHost(scp03.Keys{ENC: w.keys.ENC, MAC: w.keys.MAC, DEK: w.keys.DEK}, w.keys.KeyVersion, challenge)
	if err != nil {
		return err
	}
	w.channel.host = host
	answers, err := w.exchange(
		apdu.Command{INS: insSelect, P1: 0x04, Data: w.keys.Domain},
		host.InitializeUpdate(),
	)
	if err != nil {
		return err
	}
	greeting, err := host.Authenticate(answers[1].Data, scp03.Full)
	switch {
	case errors.Is(err, scp03.ErrCardCryptogram):
		return refuse(http.StatusForbidden, api.CodeCardNotGenuine,
			"the card does not hold the keys of SIM %s: it is another card, or the batch that was imported has other keys", w.iccid)
	case err != nil:
		return misbehaved("INITIALIZE UPDATE: %v", err)
	}
	w.channel.greeting = &greeting
	return nil
}

// personalize runs a whole script: the card commits it. It returns the answers of its operations.
func (w *walk) personalize(script ...perso.Op) ([]perso.Answer, error) {
	commands, err := perso.Commands(script...)
	if err != nil {
		return nil, err
	}
	return w.begin(commands...)
}

// begin sends the first blocks of a script, and INSTALL [for personalization] before them.
func (w *walk) begin(blocks ...apdu.Command) ([]perso.Answer, error) {
	commands := append([]apdu.Command{perso.InstallForPersonalization(w.applet)}, blocks...)
	responses, err := w.sealed(commands)
	if err != nil {
		return nil, err
	}
	return parseAnswers(responses[1:])
}

// proceed sends further blocks of a script that has begun.
func (w *walk) proceed(blocks ...apdu.Command) ([]perso.Answer, error) {
	responses, err := w.sealed(blocks)
	if err != nil {
		return nil, err
	}
	return parseAnswers(responses)
}

func parseAnswers(responses []apdu.Response) ([]perso.Answer, error) {
	var all []perso.Answer
	for _, r := range responses {
		answers, err := perso.ParseAnswers(r.Data)
		if err != nil {
			return nil, misbehaved("%v", err)
		}
		all = append(all, answers...)
	}
	return all, nil
}

// sealed sends commands through the secure channel and returns their verified answers.
func (w *walk) sealed(commands []apdu.Command) ([]apdu.Response, error) {
	var wrapped []apdu.Command
	first := 0
	if w.channel.greeting != nil {
		wrapped, first = append(wrapped, *w.channel.greeting), 1
		w.channel.greeting = nil
	}
	for _, c := range commands {
		sealed, err := w.channel.host.Wrap(c)
		if err != nil {
			return nil, fmt.Errorf("wrap command %02X: %w", c.INS, err)
		}
		wrapped = append(wrapped, sealed)
	}
	answers, err := w.exchange(wrapped...)
	if err != nil {
		return nil, err
	}
	opened := make([]apdu.Response, len(commands))
	for i, a := range answers[first:] {
		if opened[i], err = w.channel.host.Unwrap(a); err != nil {
			return nil, refuse(http.StatusForbidden, api.CodeCardNotGenuine,
				"an answer to command %02X was altered between the SIM and the platform, or played back: %v", commands[i].INS, err)
		}
		if err := opened[i].SW.Err(); err != nil {
			return nil, refused(commands[i].INS, opened[i].SW)
		}
	}
	return opened, nil
}

// exchange has the agent send commands, and returns the answers, all of them successes.
func (w *walk) exchange(commands ...apdu.Command) ([]apdu.Response, error) {
	out := make([][]byte, len(commands))
	for i, c := range commands {
		b, err := c.Bytes()
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	if !w.yield(order{commands: out}) {
		return nil, sessionEnded()
	}
	answers := make([]apdu.Response, len(w.responses))
	for i, b := range w.responses {
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return nil, misbehaved("%v", err)
		}
		if !r.SW.Processed() || commands[i].INS == insExternalAuthenticate && r.SW != apdu.OK {
			return nil, refused(commands[i].INS, r.SW)
		}
		answers[i] = r
	}
	if len(answers) != len(commands) {
		return nil, misbehaved("%d answers to %d commands", len(answers), len(commands))
	}
	return answers, nil
}

// refused is the refusal of a command by the card, in words that help its operator.
func refused(ins byte, sw apdu.SW) error {
	name, hint := fmt.Sprintf("command %02X", ins), ""
	switch ins {
	case insSelect:
		name, hint = "SELECT of the security domain", ": the batch names a domain that the card does not have"
	case insInitializeUpdate:
		name, hint = "INITIALIZE UPDATE", ": the card has no SCP03 key set of the version that the batch names, or it is blocked"
	case insExternalAuthenticate:
		name, hint = "EXTERNAL AUTHENTICATE", ": the card does not accept the platform's keys"
	case insInstall:
		name, hint = "INSTALL [for personalization]", ": the security domain does not serve the applet that the agent found"
	case insStoreData:
		name, hint = "STORE DATA", ": nothing was changed on the SIM by this block"
	}
	return refuse(http.StatusConflict, api.CodeCardRefused, "%s: %v%s", name, sw, hint)
}
