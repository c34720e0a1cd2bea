package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	hello      = time.Second // for the answer to a first AT
	probeLimit = 10 * time.Second
)

// greetings are tried one after the other: a modem that finds out the speed by itself
// misses some, and one that was told to keep its results for itself, or to give them as
// numbers, has to be told otherwise first (ITU-T V.250, 6.2.5 and 6.2.6).
var greetings = []string{"AT", "AT", "ATQ0V1", "AT", "ATQ0V1"}

// probe finds out what is at the other end of the line, and the way to its SIM.
func (c *Card) probe(ctx context.Context, o Options) error {
	if err := c.greet(ctx); err != nil {
		return err
	}
	// Whether these are known does not matter: echo and plain errors are understood too.
	for _, setting := range []string{"ATE0", "AT+CMEE=1"} {
		if _, err := c.line.do(ctx, setting, probeLimit); !answered(err) {
			return err
		}
	}
	if err := c.findMarkers(ctx); err != nil {
		return err
	}
	if err := c.identify(ctx, o); err != nil {
		return err
	}
	if err := c.askForSIM(ctx); err != nil {
		return err
	}
	want := o.Mode
	if want == Auto {
		want = c.quirk.Only
	}
	if err := c.findWay(ctx, want); err != nil {
		return err
	}
	if o.CloseLeftover {
		return c.closeLeftover(ctx)
	}
	return nil
}

// greet speaks to the modem until OK comes back.
func (c *Card) greet(ctx context.Context) error {
	for _, greeting := range greetings {
		c.line.step = step{} // nothing can be in step yet; findMarkers sees to it
		_, err := c.line.do(ctx, greeting, hello)
		switch {
		case err == nil:
			return nil
		case c.line.broken != nil, ctx.Err() != nil:
			return err
		}
	}
	return ErrSilent
}

// findMarkers finds out which markers the modem answers. Waiting for a marker's own line also brings
// the line into step: somebody before us may have left without waiting for an answer.
func (c *Card) findMarkers(ctx context.Context) error {
	var known []marker
	for _, m := range markers {
		c.line.step = step{lost: true, markers: []marker{m}}
		found, err := c.line.tryMarker(ctx, m)
		if err != nil {
			return err
		}
		if found {
			known = append(known, m)
		}
	}
	c.line.step = step{markers: known}
	return nil
}

// identify finds the quirks that apply.
func (c *Card) identify(ctx context.Context, o Options) error {
	for _, query := range []struct {
		command string
		answer  *string
	}{{"AT+CGMI", &c.info.Maker}, {"AT+CGMM", &c.info.Model}, {"AT+CGMR", &c.info.Firmware}} {
		lines, err := c.line.do(ctx, query.command, probeLimit)
		if !answered(err) {
			return err
		}
		*query.answer = ownWords(lines, query.command)
	}
	maker, model, firmware := c.info.Maker, c.info.Model, c.info.Firmware
	if o.Model != "" {
		maker, model, firmware = namesake(o.Model)
	}
	c.quirk = quirkFor(Quirks, maker, model, firmware)
	if o.MaxAnswer > 0 {
		c.quirk.MaxAnswer = o.MaxAnswer
	}
	c.info.Quirks = c.quirk.Source
	return nil
}

// ownWords is what a modem answered to a query of its identity: with the command's name
// before it or without.
func ownWords(lines []string, command string) string {
	prefix := strings.TrimPrefix(command, "AT") + ":"
	for _, text := range lines {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return strings.Trim(rest, ` "`)
		}
	}
	for _, text := range lines {
		if text != "" && !strings.ContainsAny(text[:1], "+^#*%$") && text != "RING" { // as unsolicited lines are
			return strings.Trim(text, ` "`)
		}
	}
	return ""
}

// namesake takes a name that a person wrote for the row that it means: a model's or
// a maker's.
func namesake(name string) (maker, model, firmware string) {
	for _, row := range Quirks {
		switch {
		case row.Model != "" && begins(name, row.Model):
			return row.Maker, name, row.Firmware
		case row.Model == "" && row.Maker != "" && begins(name, row.Maker):
			return name, "", row.Firmware
		}
	}
	return "", name, ""
}

// askForSIM fails if there is none. That a PIN is wanted is no failure: files that every
// application needs, and an applet of its own, do not depend on it.
func (c *Card) askForSIM(ctx context.Context) error {
	lines, err := c.command(ctx, "AT+CPIN?", 0)
	for _, text := range lines {
		if rest, ok := strings.CutPrefix(text, "+CPIN:"); ok {
			c.info.PIN = strings.TrimSpace(rest)
		}
	}
	var refusal CMEError
	if errors.As(err, &refusal) && !errors.Is(err, ErrNoSIM) && !errors.Is(err, ErrSIMFailure) && !errors.Is(err, ErrBusy) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask for the SIM: %w", err)
	}
	return nil
}

// findWay decides between AT+CSIM and AT+CGLA.
func (c *Card) findWay(ctx context.Context, want Mode) error {
	knows := map[string]bool{}
	for _, name := range []string{"+CSIM", "+CCHO", "+CGLA"} {
		_, err := c.line.do(ctx, "AT"+name+"=?", probeLimit)
		if !answered(err) {
			return err
		}
		knows[name] = err == nil
	}
	// Some know one of the session commands, but not its test form.
	can := map[Mode]bool{CSIM: knows["+CSIM"], CGLA: knows["+CCHO"] || knows["+CGLA"]}
	c.basic = can[CSIM]
	if want == Auto && can[CSIM] && can[CGLA] {
		var err error
		if can[CSIM], err = c.csimKnowsChannels(ctx); err != nil {
			return err
		}
	}
	switch {
	case want != Auto: // who says so knows better than a query
		c.info.Mode = want
	case can[c.quirk.Prefer]:
		c.info.Mode = c.quirk.Prefer
	case can[CSIM]:
		c.info.Mode = CSIM
	case can[CGLA]:
		c.info.Mode = CGLA
	default:
		return c.noAccess()
	}
	return nil
}

// csimKnowsChannels finds out whether AT+CSIM passes on what is meant for a logical
// channel, which some modems refuse. It asks for the STATUS of channel 1: whether that is open or
// not, the card answers, and nothing changes.
func (c *Card) csimKnowsChannels(ctx context.Context) (bool, error) {
	_, err := c.csim(ctx, []byte{0x81, 0xF2, 0x00, 0x00, 0x00})
	if !answered(err) && !errors.Is(err, ErrTorn) && !errors.Is(err, ErrBareOK) {
		return false, err
	}
	return err == nil, nil
}
