package device

import (
	"context"
	"errors"
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
)

// ErrCard says that an onboarding ended because the SIM did not answer, not because of the
// platform or the network.
var ErrCard = errors.New("the card does not answer")

// Platform is the part of [api.Client] that the onboarding needs.
type Platform interface {
	OpenRelay(ctx context.Context, request api.RelayOpen) (api.RelayStep, error)
	AnswerRelay(ctx context.Context, session string, answers api.RelayAnswers) (api.RelayStep, error)
}

// Onboarding is what an onboarding did.
type Onboarding struct {
	api.RelayResult
	// Commands is the number of APDUs that went to the SIM, and Bytes their size, with
	// the answers, and without what opened and closed the channel.
	Commands, Bytes int
	// Steps is the number of round trips to the platform.
	Steps int
}

// Onboard is the switch-on walk: it opens a relay session with the platform and passes
// sealed commands to the SIM's security domain, and the answers back, until the platform
// says that the SIM holds a good credential. It may be cut anywhere and repeated.
func (d *Device) Onboard(ctx context.Context, platform Platform) (Onboarding, error) {
	defer d.Forget()
	ch, err := card.OpenChannel(ctx, d.card)
	if err != nil {
		return Onboarding{}, fmt.Errorf("onboard SIM %s: %w: %w", d.iccid, ErrCard, err)
	}
	defer card.CloseChannel(context.WithoutCancel(ctx), d.card, ch)

	var done Onboarding
	step, err := platform.OpenRelay(ctx, api.RelayOpen{
		Version: api.RelayVersion, ICCID: string(d.iccid), Applet: d.applet.AID(), Agent: "simroot",
		Trial: d.trial != nil, TrialRenewal: d.trial != nil,
	})
	for {
		if err != nil {
			return done, fmt.Errorf("onboard SIM %s: %w", d.iccid, err)
		}
		done.Steps++
		if step.Result != nil {
			done.RelayResult = *step.Result
			return done, nil
		}
		answers := api.RelayAnswers{Step: step.Step}
		var failure error
		if step.Trial != nil {
			failure = d.try(ctx, *step.Trial)
			answers.Worked = true
		} else {
			answers.Responses, failure = done.pass(ctx, d.card, ch, step.Commands)
		}
		if failure != nil {
			// Telling the platform is a courtesy: it would find out by itself.
			_, _ = platform.AnswerRelay(ctx, step.Session, api.RelayAnswers{Step: step.Step, Failure: failureOf(failure)})
			return done, fmt.Errorf("onboard SIM %s: %w", d.iccid, failure)
		}
		step, err = platform.AnswerRelay(ctx, step.Session, answers)
	}
}

// failureOf is what the platform is told of a failure: no more than which side it is on.
func failureOf(err error) string {
	switch {
	case errors.Is(err, ErrCard):
		return "card not reachable"
	case errors.Is(err, ErrTrial):
		return "trial failed"
	}
	return "the platform's step cannot be carried out"
}

// pass sends commands to the card on channel ch and stops behind the first refusal.
func (o *Onboarding) pass(ctx context.Context, c card.Card, ch int, commands [][]byte) ([][]byte, error) {
	if len(commands) == 0 {
		return nil, errors.New("the platform sent a step without commands")
	}
	var responses [][]byte
	for _, b := range commands {
		command, err := apdu.Parse(b)
		if err != nil {
			return nil, fmt.Errorf("the platform sent something that is no command: %w", err)
		}
		command.CLA = apdu.OnChannel(command.CLA, ch)
		response, err := card.Exchange(ctx, c, command)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCard, err)
		}
		answer := response.Bytes()
		o.Commands++
		o.Bytes += len(b) + len(answer)
		responses = append(responses, answer)
		if !response.SW.Processed() {
			break
		}
	}
	return responses, nil
}
