package modem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	client "github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/iotsafe"
)

// reach is what a device does with a modem: find the SIM, its number and its applet.
func reach(t *testing.T, ctx context.Context, port net.Conn, o client.Options) (err error) {
	c, err := client.New(ctx, port, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	t.Logf("reached by AT+%s", strings.ToUpper(c.Info().Mode.String()))
	number, err := card.ReadICCID(ctx, c, 0)
	if err != nil {
		return err
	}
	if number != iccid {
		return errors.New("this is SIM " + string(number))
	}
	selected, err := iotsafe.Select(ctx, c)
	if err != nil {
		return err
	}
	if _, err := selected.Random(ctx, 200); err != nil {
		return errors.Join(err, selected.Close(ctx))
	}
	if err := selected.Close(ctx); err != nil {
		return err
	}
	return echo(ctx, c)
}

// echo sends the longest command and wants as much back.
func echo(ctx context.Context, c card.Card) error {
	if err := card.Select(ctx, c, 0, applet); err != nil {
		return err
	}
	data := bytes.Repeat([]byte{0xA5}, apdu.MaxData)
	got, err := card.Do(ctx, c, apdu.Command{CLA: 0x80, INS: 0xEC, Data: data, Le: apdu.MaxLe})
	if err == nil && !bytes.Equal(got, data) {
		err = fmt.Errorf("%d bytes came back", len(got))
	}
	return err
}

func TestDeviceReachesTheAppletThroughEveryModem(t *testing.T) {
	for _, p := range Personalities() {
		for _, mode := range []client.Mode{client.Auto, client.CSIM, client.CGLA} {
			if mode == client.CSIM && (p.lacks("+CSIM") || p.BasicChannelOnly) || mode == client.CGLA && p.lacks("+CGLA") {
				continue // a way that it does not offer
			}
			var want error
			if p.NoProfile {
				want = client.ErrSIMFailure // no client could get through
			}
			t.Run(p.Name+"/"+mode.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, s := with(t, p.Name)
					host, end := serve(t, t.Context(), m)
					if err := reach(t, t.Context(), host, client.Options{Mode: mode}); !errors.Is(err, want) {
						t.Errorf("error: %v; want %v", err, want)
					}
					if err := end(); !errors.Is(err, io.EOF) {
						t.Errorf("Serve: %v", err)
					}
					if len(s.channels) > 1 && p.Name != "terse" { // through which none can be closed
						t.Errorf("%d channels are left open", len(s.channels)-1)
					}
				})
			})
		}
	}
}
