package modem

import (
	"context"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// What the modem calls itself. The IMEI is of the range for test equipment.
const (
	manufacturer = "simroot"
	model        = "virtual modem"
	revision     = "1"
	imei         = "001017000000003"
)

func init() {
	register(map[string]command{
		"+CGMI":  {run: says(manufacturer)},
		"+CGMM":  {run: says(model)},
		"+CGMR":  {run: says(revision)},
		"+GMI":   {run: says(manufacturer)},
		"+GMM":   {run: says(model)},
		"+GMR":   {run: says(revision)},
		"+CGSN":  {run: says(imei)},
		"+GSN":   {run: says(imei)},
		"+CIMI":  {run: subscriber},
		"+CCID":  {run: cardNumber("+CCID: ")},
		"+ICCID": {run: cardNumber("+ICCID: ")},
	})
}

func identify(*Modem, context.Context, call) (string, error) {
	return manufacturer + "\r\n" + model + "\r\nRevision: " + revision, nil
}

// says makes a command that answers one fixed line. +CGSN may ask for the IMEI by
// number, 1 being the default and 0 the serial number (TS 27.007, 5.4).
func says(text string) func(*Modem, context.Context, call) (string, error) {
	return func(_ *Modem, _ context.Context, c call) (string, error) {
		if c.form == read {
			return "", notSupported
		}
		if _, err := c.number(0, 1, 1); err != nil || len(c.args) > 1 {
			return "", wrongArgument
		}
		return text, nil
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
