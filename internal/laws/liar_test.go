package laws

import (
	"bytes"
	"context"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/vsim"
)

// alteringCard passes everything on and alters one answer on its way back.
type alteringCard struct {
	*vsim.Card
	ins   byte // the answers to this instruction are altered
	after int  // not counting the first ones
	alter func(answer []byte) []byte
}

func (c *alteringCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	answer, err := c.Card.Transmit(ctx, command)
	if err != nil || len(command) < 2 || command[1] != c.ins || !succeeded(answer) {
		return answer, err
	}
	if c.after > 0 {
		c.after--
		return answer, nil
	}
	return c.alter(bytes.Clone(answer)), nil
}

func succeeded(answer []byte) bool {
	r, err := apdu.ParseResponse(answer)
	return err == nil && r.SW == apdu.OK
}

func flip(i int) func([]byte) []byte {
	return func(answer []byte) []byte { answer[i] ^= 0x01; return answer }
}

// A card whose answers are not those of the SIM gets a clear refusal, no credential, and
// the SIM can still be onboarded honestly.
func TestACardThatLiesGetsNothing(t *testing.T) {
	const initializeUpdate, storeData = 0x50, 0xE2
	var earlier []byte
	for name, lie := range map[string]struct {
		alteringCard
		code api.Code
	}{
		"bad card cryptogram":   {alteringCard{ins: initializeUpdate, alter: flip(22)}, api.CodeCardNotGenuine},
		"bad R-MAC":             {alteringCard{ins: storeData, alter: func(a []byte) []byte { a[len(a)-3] ^= 1; return a }}, api.CodeCardNotGenuine},
		"bad ciphertext":        {alteringCard{ins: storeData, after: 1, alter: flip(0)}, api.CodeCardNotGenuine},
		"R-MAC cut off":         {alteringCard{ins: storeData, alter: func(a []byte) []byte { return []byte{0x90, 0x00} }}, api.CodeCardNotGenuine},
		"answer played back":    {alteringCard{ins: storeData, alter: func(a []byte) []byte { return replay(&earlier, a) }}, api.CodeCardNotGenuine},
		"INITIALIZE UPDATE cut": {alteringCard{ins: initializeUpdate, alter: func(a []byte) []byte { return a[20:] }}, api.CodeCardMisbehaved},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fleet("meters", api.Profile{})
			const iccid = "89882119900000000017"
			sim := vsim.NewMemory(w.sims("meters", "common", iccid)[0])
			card := lie.alteringCard
			card.Card = sim
			if _, err := w.onboard(&card); !api.HasCode(err, lie.code) {
				t.Fatalf("want a refusal %s, got: %v", lie.code, err)
			}
			for _, c := range w.credentials(iccid) {
				if c.State == api.Active || c.State == api.Delivered {
					t.Errorf("the liar has a credential that is %s", c.State)
				}
			}
			sim.Reset()
			if _, err := w.onboard(sim); err != nil {
				t.Fatalf("an honest onboarding afterwards: %v", err)
			}
			w.active(iccid)
		})
	}
}

// replay answers with what was answered before.
func replay(earlier *[]byte, answer []byte) []byte {
	if *earlier == nil {
		*earlier = answer
		return answer
	}
	return *earlier
}
