package modem

import (
	"context"
	"errors"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// ready tells whether the card may be asked anything now.
func (m *Modem) ready() error {
	switch {
	case m.function == minimumFunction:
		return noSIM
	case m.personality.NoProfile:
		return simFailure
	case m.busy > 0:
		m.busy--
		return simBusy
	}
	return nil
}

// transmit carries the host's APDU to the card, in the way of this modem, and returns the
// card's answer or a refusal.
func (m *Modem) transmit(ctx context.Context, command []byte) ([]byte, error) {
	if err := m.ready(); err != nil {
		return nil, err
	}
	if selectsApplication(command) && m.loseSelect() {
		return nil, phoneFailure
	}
	answer, err := m.pass(ctx, command)
	if err != nil {
		return nil, err
	}
	if m.personality.HidesRefusals {
		if r, err := apdu.ParseResponse(answer); err != nil || !r.SW.Processed() && r.SW>>8 != 0x61 {
			return nil, plainError
		}
	}
	return answer, nil
}

// pass sends an APDU. What is no command at all goes to the card as it is: that is for
// the card to refuse.
func (m *Modem) pass(ctx context.Context, command []byte) ([]byte, error) {
	c, err := apdu.Parse(command)
	if err != nil {
		return m.card.Transmit(ctx, command)
	}
	if m.refuses(c) {
		return nil, plainError
	}
	if m.personality.DropsLe && len(c.Data) > 0 && c.Le > 0 {
		c.Le = 0
		command = command[:len(command)-1]
	}
	if !m.personality.GetsResponse {
		return m.card.Transmit(ctx, command)
	}
	r, err := card.Exchange(ctx, m.card, c)
	if err != nil {
		return nil, err
	}
	return r.Bytes(), nil
}

// refuses tells whether the modem keeps a command from the card.
func (m *Modem) refuses(c apdu.Command) bool {
	return m.personality.RefusesLe && len(c.Data) > 0 && c.Le > 0 ||
		slices.Contains(m.personality.RefusesCommands, c.INS)
}

// selectsApplication tells whether an APDU is SELECT by AID.
func selectsApplication(command []byte) bool {
	return len(command) > 4 && command[0]&0x80 == 0 && command[1] == 0xA4 && command[2] == 0x04
}

// loseSelect counts a SELECT by AID and tells whether this modem loses it: the first one
// and every nth from there.
func (m *Modem) loseSelect() bool {
	n := m.personality.LosesSelect
	if n == 0 {
		return false
	}
	m.selects++
	return (m.selects-1)%n == 0
}

// aside does what the modem wants of the card for itself, on a channel of its own, so
// that what the host has selected on the others stays selected. If the card has no
// channel left, the basic one has to do.
func (m *Modem) aside(ctx context.Context, do func(ch int) error) error {
	ch, err := card.OpenChannel(ctx, m.card)
	if errors.As(err, new(apdu.SW)) {
		return do(0)
	}
	if err != nil {
		return err
	}
	err = do(ch)
	return errors.Join(failed(card.CloseChannel(ctx, m.card, ch)), err)
}

// failed is err, unless the card has merely refused.
func failed(err error) error {
	if errors.As(err, new(apdu.SW)) {
		return nil
	}
	return err
}

// refusedWith is r if the card refused, nil if there was no error, and otherwise err: the
// card has failed.
func refusedWith(err error, r refusal) error {
	if errors.As(err, new(apdu.SW)) {
		return r
	}
	return err
}
