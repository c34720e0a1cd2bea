package modem

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// session is one logical channel that the modem opened for its host.
type session struct {
	handle  string // the host's name for it
	channel int    // between modem and card
}

func init() {
	register(map[string]command{
		"+CCHO": {run: openSession},
		"+CGLA": {run: sessionAccess},
		"+CCHC": {run: closeSession},
	})
}

// Lengths of an AID, in bytes (ISO/IEC 7816-4, 8.2.1.2).
const minAID, maxAID = 5, 16

// openSession is AT+CCHO (3GPP TS 27.007, 8.45): a logical channel with an application
// selected on it.
func openSession(m *Modem, ctx context.Context, c call) (string, error) {
	if c.form != set || len(c.args) != 1 {
		return "", wrongArgument
	}
	aid, err := hex.DecodeString(c.args[0])
	if err != nil || len(aid) < minAID || len(aid) > maxAID {
		return "", wrongArgument
	}
	if err := m.ready(); err != nil {
		return "", err
	}
	ch, err := card.OpenChannel(ctx, m.card)
	if err != nil {
		return "", refusedWith(err, notAllowed)
	}
	if err := m.selectApplication(ctx, ch, aid); err != nil {
		closing := card.CloseChannel(ctx, m.card, ch)
		return "", errors.Join(failed(closing), refusedByCard(err))
	}
	s := session{fmt.Sprintf(m.personality.handleFormat(), m.personality.HandleOffset+ch), ch}
	m.sessions = append(m.sessions, s)
	if m.personality.BareHandle {
		return s.handle, nil
	}
	return "+CCHO: " + s.handle, nil
}

// selectApplication is SELECT by AID, with the fault of some modems that never tell of it.
func (m *Modem) selectApplication(ctx context.Context, ch int, aid []byte) error {
	if m.loseSelect() {
		return phoneFailure
	}
	return card.Select(ctx, m.card, ch, aid)
}

// sessionAccess is AT+CGLA (3GPP TS 27.007, 8.43): one APDU to a session's application.
// The host writes it for channel 0; the channel is the modem's to set.
func sessionAccess(m *Modem, ctx context.Context, c call) (string, error) {
	command, err := c.apdu(1)
	if err != nil {
		return "", err
	}
	i, err := m.session(c.arg(0))
	if err != nil {
		return "", err
	}
	command[0] = apdu.OnChannel(command[0], m.sessions[i].channel)
	answer, err := m.transmit(ctx, command)
	if err != nil {
		return "", err
	}
	return m.answer("+CGLA", answer), nil
}

// closeSession is AT+CCHC (3GPP TS 27.007, 8.46).
func closeSession(m *Modem, ctx context.Context, c call) (string, error) {
	if c.form != set || len(c.args) != 1 {
		return "", wrongArgument
	}
	i, err := m.session(c.args[0])
	if err != nil {
		return "", err
	}
	if err := m.ready(); err != nil {
		return "", err
	}
	ch := m.sessions[i].channel
	m.sessions = slices.Delete(m.sessions, i, i+1)
	// Whatever the card says, the session is over: its host may have closed the channel
	// with AT+CSIM before.
	if err := failed(card.CloseChannel(ctx, m.card, ch)); err != nil {
		return "", err
	}
	if m.personality.AnnounceClose {
		return "+CCHC: " + c.args[0], nil
	}
	return "", nil
}

// session is the place of the session with a handle, which the host may write without
// its leading zeros.
func (m *Modem) session(handle string) (int, error) {
	bare := func(s string) string { return strings.TrimLeft(s, "0") }
	if handle == "" {
		return 0, wrongArgument
	}
	i := slices.IndexFunc(m.sessions, func(s session) bool {
		return strings.EqualFold(bare(s.handle), bare(handle))
	})
	if i < 0 {
		return 0, wrongIndex
	}
	return i, nil
}
