package modem

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/simroot/simroot/card"
)

func init() {
	card.Register("modem", func(ctx context.Context, rest string) (card.Conn, error) {
		device, options, err := ParseURI(rest)
		if err != nil {
			return nil, err
		}
		c, err := Open(ctx, device, options)
		if err != nil {
			return nil, err // not c: a nil *Card in a card.Conn is not a nil card.Conn
		}
		return c, nil
	})
}

// ParseURI reads the part of a modem: URI behind the scheme.
func ParseURI(rest string) (device string, o Options, err error) {
	device, query, _ := strings.Cut(rest, "?")
	if device == "" {
		return "", o, fmt.Errorf("which serial port? Write it behind modem:, for example modem:/dev/ttyUSB2")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", o, fmt.Errorf("what follows the question mark in %q is malformed: %w", rest, err)
	}
	for name, all := range values {
		value := all[0]
		switch name {
		case "baud":
			o.Baud, err = strconv.Atoi(value)
			if err == nil && o.Baud <= 0 {
				err = strconv.ErrRange
			}
		case "mode":
			o.Mode, err = parseMode(value)
		case "model":
			o.Model = value
		case "answer":
			o.MaxAnswer, err = strconv.Atoi(value)
			if err == nil && (o.MaxAnswer < 1 || o.MaxAnswer > 256) {
				err = fmt.Errorf("want 1 to 256")
			}
		case "leftover":
			o.CloseLeftover = value == "close"
			if value != "close" && value != "keep" {
				err = fmt.Errorf("want close or keep")
			}
		case "lock":
			o.LockDir = value
		default:
			return "", o, fmt.Errorf("a modem card has no option %q: it has baud, mode, model, answer, leftover and lock", name)
		}
		if err != nil || len(all) > 1 {
			return "", o, fmt.Errorf("option %s=%s of a modem card: %w", name, strings.Join(all, ","), orTwice(err))
		}
	}
	return device, o, nil
}

func orTwice(err error) error {
	if err == nil {
		return fmt.Errorf("given more than once")
	}
	return err
}

func parseMode(s string) (Mode, error) {
	for _, m := range []Mode{CSIM, CGLA} {
		if s == m.String() {
			return m, nil
		}
	}
	return Auto, fmt.Errorf("want csim or cgla")
}
