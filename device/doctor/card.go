package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/card/pcsc"
	"github.com/simroot/simroot/iotsafe"
)

// port opens the card. What fails then may be the fault of a later link: it is kept for that.
func port(ctx context.Context, p *patient) Finding {
	c, err := p.Open(ctx)
	if p.raw = c; err == nil && p.Record != nil {
		c, err = p.Record(c)
	}
	if err != nil {
		if cause := causeOf(err); cause != nil && cause.link != linkPort {
			p.failure = err
			return good(p.Card + " is there")
		}
		return failed(err, "the way to the SIM cannot be opened", "what the line above says; card URIs are vsim:FILE, pcsc:, pcsc:READER NAME, modem:PORT[?baud=N], tcp:HOST:PORT")
	}
	p.card = c
	return good(p.Card + " opens")
}

// blamed is the failure of opening the card, if it belongs to this link.
func (p *patient) blamed(link string) error {
	if c := causeOf(p.failure); c != nil && c.link == link {
		return p.failure
	}
	return nil
}

func modemOrReader(_ context.Context, p *patient) Finding {
	if err := p.blamed(linkModem); err != nil {
		return failed(err, "", "")
	}
	if m := p.modem(); m != nil {
		return good(introduce(m.Info()))
	}
	if reader, ok := p.raw.(*pcsc.Card); ok {
		return good(fmt.Sprintf("reader %q, card with ATR % X", reader.Reader(), reader.ATR()))
	}
	if p.card == nil {
		return good("answers")
	}
	return good("none is needed")
}

// introduce says which modem this is, and how it is treated. That a firmware is too old is known
// only where a row of modem.Quirks says so.
func introduce(i modem.Info) string {
	who := strings.Join(strings.Fields(i.Maker+" "+i.Model), " ")
	if who == "" {
		who = "a modem that does not say which"
	}
	if i.Firmware != "" {
		who += ", firmware " + i.Firmware
	}
	text := who + ", by " + map[modem.Mode]string{modem.CSIM: "AT+CSIM", modem.CGLA: "AT+CCHO and AT+CGLA"}[i.Mode]
	if _, own, found := strings.Cut(i.Quirks, "; "); found {
		text += "; known: " + own
	}
	return text
}

func sim(ctx context.Context, p *patient) Finding {
	if err := p.blamed(linkSIM); err != nil {
		return failed(err, "", "")
	}
	iccid, err := card.ReadICCID(ctx, p.card, 0)
	if err != nil {
		var sw apdu.SW
		if errors.As(err, &sw) {
			return failed(err, "something answers, and it is no SIM, or one that is damaged: every SIM tells its ICCID", "put the SIM in place of that card")
		}
		return failed(err, "the SIM does not answer", "take the SIM out, clean its contacts and insert it again")
	}
	p.iccid = iccid
	saw := "ICCID " + string(iccid)
	if m := p.modem(); m != nil {
		if pin := m.Info().PIN; pin != "" && pin != "READY" {
			saw += "; it wants its PIN (" + pin + ") for other things, which the applet does not need"
		}
	}
	return good(saw)
}

func channel(ctx context.Context, p *patient) Finding {
	ch, err := card.OpenChannel(ctx, p.card)
	switch {
	case err == nil:
		p.channel, p.opened = ch, true
		return good(fmt.Sprintf("logical channel %d opens", ch))
	case errors.Is(err, apdu.InstructionNot), errors.Is(err, apdu.ClassNot), errors.Is(err, apdu.ChannelNotSupported):
		p.channel = 1
		return good("MANAGE CHANNEL is unknown here: SELECT is tried on channel 1")
	case errors.Is(err, apdu.FunctionNotSupported):
		return failed(err, "all logical channels of the SIM are in use",
			"end other programs that use the SIM; channels that a killed program left open are closed by restarting the modem, or, if nothing else uses the SIM, by leftover=close in the card URI")
	}
	return failed(err, "the SIM opens no logical channel, and the applet needs one of its own", "try the SIM in a reader (pcsc:); if it opens a channel there, the modem is in the way: try mode=cgla in the card URI")
}

func aid(ctx context.Context, p *patient) Finding {
	var tried []string
	var refusal modem.CMEError
	for _, aid := range p.AIDs {
		tried = append(tried, fmt.Sprintf("%X", aid))
		err := card.Select(ctx, p.card, p.channel, aid)
		switch {
		case err == nil:
			p.aid = aid
			return good("the applet answers to " + tried[len(tried)-1])
		case errors.As(err, &refusal):
			return failed(fmt.Errorf("SELECT %X: %w", aid, err), "the modem, not the SIM, has refused the SELECT, and again when it was repeated",
				"try the other way through the modem (mode=csim or mode=cgla in the card URI), restart it (AT+CFUN=1,1), update its firmware")
		case !errors.Is(err, apdu.NotFound):
			return failed(fmt.Errorf("SELECT %X: %w", aid, err), "the SIM neither selects the applet nor says that it has none",
				"try again; if it stays so, record a session (--trace FILE) for the SIM's issuer")
		}
	}
	return broken(fmt.Sprintf("SELECT %s: card answered 6A82: not found", strings.Join(tried, ", ")),
		"this SIM carries no IoT SAFE applet under these AIDs",
		"ask the SIM's issuer whether it carries the applet, and under which AID (--aid HEX); without it use another SIM")
}

func applet(ctx context.Context, p *patient) Finding {
	a, err := iotsafe.Select(ctx, p.card, iotsafe.OnChannel(p.channel), iotsafe.WithAID(p.aid))
	var info iotsafe.Info
	if err == nil {
		info, err = a.Info(ctx)
	}
	if err != nil {
		return failed(err, "what answers to this AID does not describe itself as an IoT SAFE applet does (GSMA IoT.05)",
			"ask the SIM's issuer which version of the applet this is; a session recorded with --trace FILE shows what it says")
	}
	p.applet, p.typeII = a, info.TypeII()
	kind := "I: asymmetric keys"
	if p.typeII {
		kind = "II: pre-shared keys only"
	}
	return good(fmt.Sprintf("version %02X, Type %s; room for %d private keys, %d public keys, %d secrets, %d files",
		info.Version, kind, info.MaxPrivateKeys, info.MaxPublicKeys, info.MaxSecretKeys, info.MaxFiles))
}

func objects(ctx context.Context, p *patient) Finding {
	all, err := p.applet.Objects(ctx)
	if err != nil {
		return failed(err, "the applet does not list what it holds", "try again; if it stays so, record a session (--trace FILE) for the SIM's issuer")
	}
	if len(all) == 0 {
		return broken("the object list is empty", "the applet was installed and never personalised: it has no container for a key",
			"ask the SIM's issuer to personalise it, or let the platform do it: simroot device onboard --card "+p.Card+" --platform URL")
	}
	var parts []string
	for _, kind := range iotsafe.Kinds {
		n, active := 0, 0
		for _, o := range all {
			if o.Kind == kind {
				n++
				if o.Active {
					active++
				}
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d %ss", active, n, kind))
		}
	}
	return good(strings.Join(parts, ", ") + " in use")
}
