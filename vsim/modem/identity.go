package modem

import (
	"cmp"
	"context"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// What the modem calls itself. The IMEI is of the range for test equipment.
const (
	revision = "1"
	imei     = "001017000000003"
)

func maker(m *Modem) string { return cmp.Or(m.personality.Maker, "simroot") }
func model(m *Modem) string { return cmp.Or(m.personality.Model, "virtual modem") }

func init() {
	register(map[string]command{
		"+CGMI":  {run: says(maker)},
		"+CGMM":  {run: says(model)},
		"+CGMR":  {run: says(func(*Modem) string { return revision })},
		"+GMI":   {run: says(maker)},
		"+GMM":   {run: says(model)},
		"+GMR":   {run: says(func(*Modem) string { return revision })},
		"+CGSN":  {run: says(func(*Modem) string { return imei })},
		"+GSN":   {run: says(func(*Modem) string { return imei })},
		"+CIMI":  {run: subscriber},
		"+CCID":  {run: cardNumber("+CCID: ")},
		"+ICCID": {run: cardNumber("+ICCID: ")},
	})
}

func identify(m *Modem, _ context.Context, _ call) (string, error) {
	return maker(m) + "\r\n" + model(m) + "\r\nRevision: " + revision, nil
}

// says makes a command that answers one line.
func says(text func(*Modem) string) func(*Modem, context.Context, call) (string, error) {
	return func(m *Modem, _ context.Context, c call) (string, error) {
		if c.form != execute {
			return "", notSupported
		}
		return text(m), nil
	}
}

// cardNumber is +CCID, in the forms that makers gave it: the ICCID, read from the card.
func cardNumber(prefix string) func(*Modem, context.Context, call) (string, error) {
	return func(m *Modem, ctx context.Context, c call) (string, error) {
		if c.form == set {
			return "", notSupported
		}
		if err := m.ready(); err != nil {
			return "", err
		}
		var number card.ICCID
		err := m.aside(ctx, func(ch int) (err error) {
			number, err = card.ReadICCID(ctx, m.card, ch)
			return err
		})
		if err != nil {
			return "", refusedByCard(err)
		}
		return prefix + string(number), nil
	}
}

// usim is how the AID of every USIM begins (ETSI TS 101 220, annex E).
var usim = []byte{0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02}

// subscriber is AT+CIMI: EF.IMSI of the USIM. A card without one is, for a phone, the
// wrong card.
func subscriber(m *Modem, ctx context.Context, c call) (string, error) {
	if c.form != execute {
		return "", notSupported
	}
	if err := m.ready(); err != nil {
		return "", err
	}
	var imsi []byte
	err := m.aside(ctx, func(ch int) (err error) {
		if err = card.Select(ctx, m.card, ch, usim); err != nil {
			return err
		}
		cla := apdu.OnChannel(0, ch)
		if _, err = card.Do(ctx, m.card, apdu.Command{CLA: cla, INS: 0xA4, P2: 0x0C, Data: []byte{0x6F, 0x07}}); err != nil {
			return err
		}
		imsi, err = card.Do(ctx, m.card, apdu.Command{CLA: cla, INS: 0xB0, Le: 9})
		return err
	})
	if err = refusedWith(err, simWrong); err != nil {
		return "", err
	}
	text, ok := decodeIMSI(imsi)
	if !ok {
		return "", simWrong
	}
	return text, nil
}

// decodeIMSI reads EF.IMSI: the number of bytes that follow, then digits with the parity
// in front of them, swapped (3GPP TS 31.102, 4.2.2).
func decodeIMSI(file []byte) (string, bool) {
	if len(file) == 0 || file[0] == 0 || int(file[0]) > len(file)-1 {
		return "", false
	}
	var digits []byte
	for _, b := range file[1 : 1+file[0]] {
		digits = append(digits, '0'+b&0x0F, '0'+b>>4)
	}
	digits = digits[1:]
	if last := len(digits) - 1; last >= 0 && digits[last] == '0'+0x0F {
		digits = digits[:last]
	}
	for _, d := range digits {
		if d > '9' {
			return "", false
		}
	}
	return string(digits), len(digits) >= 6
}
