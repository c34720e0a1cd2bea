package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// allInSIMRounds is how many handshakes of each kind are compared. A card's time hardly
// varies.
const allInSIMRounds = 9

// allInSIMCost compares handshakes whose key exchange is the SIM's with those in which it only
// signs, in turns, on a card that takes the time of the median of real ones.
func allInSIMCost(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	sim, _, err := onlyOne(ctx, r, vsim.WithModel("median"), vsim.WithTiming())
	if err != nil {
		return nil, err
	}
	card := &countingCard{Card: sim}
	d, err := device.New(ctx, card)
	if err != nil {
		return nil, err
	}
	server, err := startServer(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	defer server.close()
	config, err := d.TLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	signs := func() error { return server.handshake(ctx, config) }
	doesAll := func() error {
		c, err := d.DialAllInSIM(ctx, "tcp", server.inner.Addr().String())
		if err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1)) // the server has let it in
		return errors.Join(err, c.Close())
	}
	var times [2][]float64
	var laps [2]string
	for round := range allInSIMRounds + 1 {
		for i, handshake := range []func() error{signs, doesAll} {
			card.lap()
			start := time.Now()
			if err := handshake(); err != nil {
				return nil, err
			}
			if round > 0 { // the first is cold
				times[i], laps[i] = append(times[i], time.Since(start).Seconds()*1000), card.lap()
			}
		}
	}
	some, all := median(times[0]), median(times[1])
	return []row{
		{"TLS 1.3 handshake, all in the SIM, warm", laps[1], "8 APDUs"},
		{"the same on a card of median speed, against the default on that card",
			fmt.Sprintf("%.0f ms against %.0f ms: %.1f ×", all, some, all/some), ""},
	}, nil
}
