package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/simroot/simroot/device"
)

// certificate looks for a credential that a handshake could use, and whether it is good today.
// SIMs of Type II have a PSK in its place.
func certificate(ctx context.Context, p *patient) Finding {
	p.closeChannel() // the device opens its own
	d, err := device.New(ctx, p.card, device.WithAID(p.aid))
	if err != nil {
		return failed(err, "the applet answered a moment ago and does not any more", "try again; if it stays so, another program disturbs: end it")
	}
	p.device = d
	onboard := "bring it one: simroot device onboard --card " + p.Card + " --platform URL --ca FILE"
	if p.typeII {
		psk, err := d.PSK(ctx)
		switch {
		case errors.Is(err, device.ErrNoPSK):
			return broken(err.Error(), "the SIM was not onboarded yet", onboard)
		case err != nil:
			return failed(err, "the SIM does not tell of its secrets", "try again")
		}
		saw := "none; a pre-shared key is there, which has no dates"
		if p.identity = psk.Identity(); p.identity != "" {
			saw += "; servers know it as " + p.identity
		}
		if p.Identity != "" {
			p.identity = p.Identity
		}
		return good(saw)
	}
	c, err := d.Credential(ctx)
	switch {
	case errors.Is(err, device.ErrNoCredential):
		return broken(err.Error(), "the SIM was not onboarded yet, or its key is not the certificate's", onboard)
	case err != nil:
		return failed(err, "the certificate on the SIM cannot be read", "onboard the SIM again: the platform replaces what is damaged")
	}
	p.credential = c
	validity := fmt.Sprintf("certificate of %s, good %s to %s", c.Certificate.Subject, day(c.Certificate.NotBefore), day(c.Certificate.NotAfter))
	now, source := p.time(ctx)
	if now.After(c.Certificate.NotAfter) {
		return broken(fmt.Sprintf("%s; it is %s %s", validity, day(now), source), "the certificate has expired, or the clock is wrong",
			"see that the clock is right; then renew it: simroot device onboard --card "+p.Card+" --platform URL; to have that done in time, add --watch")
	}
	return good(validity)
}

// time is the best there is to judge dates by: the platform's if it can be had.
func (p *patient) time(ctx context.Context) (now time.Time, source string) {
	if p.Platform != "" {
		if a := p.ask(ctx); a.err == nil {
			return a.date, "by the platform's clock"
		}
	}
	return p.Now(), "by this device's clock"
}

// clockError is how far clocks may be apart before TLS gets into trouble.
const clockError = 5 * time.Minute

func clock(ctx context.Context, p *patient) Finding {
	now := p.Now()
	setIt := "set the clock: timedatectl set-ntp true, or date -s; a device without a battery for its clock needs NTP before TLS"
	if p.Platform != "" {
		a := p.ask(ctx) // the link before this one is good
		ahead := a.now.Sub(a.date)
		saw := fmt.Sprintf("this device says %s, the platform %s", second(a.now), second(a.date))
		if ahead.Abs() > clockError {
			return broken(saw, "the clock is wrong: TLS takes good certificates for expired ones, or for ones of the future", setIt)
		}
		return good(saw)
	}
	if p.credential == nil {
		return leftOut("there is nothing to compare it with: give --platform URL")
	}
	from := p.credential.Certificate.NotBefore
	if now.Add(clockError).Before(from) {
		return broken(fmt.Sprintf("this device says %s, and the SIM's certificate was not good before %s", second(now), second(from)),
			"the clock is behind: TLS takes good certificates for ones of the future", setIt)
	}
	return good(fmt.Sprintf("this device says %s, which is not before the SIM's certificate; with --platform URL it is compared with the platform's", second(now)))
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

func second(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
