package iotsafe

import (
	"context"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// call carries out one applet command; what names the operation and its object.
func (a *Applet) call(ctx context.Context, what Error, c apdu.Command) ([]byte, error) {
	if err := a.acquire(ctx); err != nil {
		return nil, what.failed(err)
	}
	defer a.release()
	return a.do(ctx, what, c)
}

// do is call for those who hold the turn.
func (a *Applet) do(ctx context.Context, what Error, c apdu.Command) ([]byte, error) {
	r, err := a.send(ctx, c)
	if err != nil {
		return nil, what.failed(err)
	}
	if !r.SW.Succeeded() {
		return nil, what.refused(r.SW)
	}
	return r.Data, nil
}

// send transmits one applet command, whose class it sets, in the form that this card
// takes.
//
// Class: the specified one is 8n; some applets know only 0n. The first command finds out.
//
// Le: commands with data whose answer has data go out with Le = 00. In process, on T=1
// and through AT commands this brings the answer at once, which halves the exchanges.
// Where a reader has to drop it (T=0) or a card answers 61xx all the same,
// [apdu.Exchange] fetches the rest. A card that refuses the length gets the command
// once more without Le, and every later one so.
func (a *Applet) send(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	c.CLA = apdu.OnChannel(a.class, a.channel)
	if len(c.Data) > 0 && !a.le {
		c.Le = 0
	}
	r, err := card.Exchange(ctx, a.card, c)
	if err == nil && !a.settled {
		r, err = a.settleClass(ctx, &c, r)
	}
	if err == nil && r.SW == apdu.WrongLength && len(c.Data) > 0 && c.Le > 0 {
		r, err = a.withoutLe(ctx, c, r)
	}
	if err != nil {
		return apdu.Response{}, err
	}
	if r.SW == apdu.RemoteAdminDone || changed(r.SW) {
		a.generation.Add(1)
	}
	return r, nil
}

// settleClass decides from the answer to a first command whether the card takes class
// 8n, and repeats the command in class 0n if it seems not to. A card that refuses both
// does not know the instruction, which says nothing of the class.
func (a *Applet) settleClass(ctx context.Context, c *apdu.Command, r apdu.Response) (apdu.Response, error) {
	if !foreign(r.SW) {
		a.settled = true
		return r, nil
	}
	again := *c
	again.CLA = apdu.OnChannel(0x00, a.channel)
	second, err := card.Exchange(ctx, a.card, again)
	if err != nil || foreign(second.SW) {
		return r, err
	}
	a.class, a.settled, *c = 0x00, true, again
	return second, nil
}

// foreign tells that a card does not know the class or the instruction.
func foreign(sw apdu.SW) bool { return sw == apdu.ClassNot || sw == apdu.InstructionNot }

// withoutLe repeats a command that was refused for its length without its Le field.
func (a *Applet) withoutLe(ctx context.Context, c apdu.Command, r apdu.Response) (apdu.Response, error) {
	c.Le = 0
	second, err := card.Exchange(ctx, a.card, c)
	if err != nil || second.SW == apdu.WrongLength {
		return r, err
	}
	a.le = false
	return second, nil
}
