package apdu

import (
	"context"
	"fmt"
)

// Transmitter sends one APDU and returns the card's answer, status word included.
type Transmitter interface {
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
}

// maxRounds bounds how often one command is continued: 64 KiB of answer is far more
// than any short command yields.
const maxRounds = 256

// insGetResponse is GET RESPONSE (ISO/IEC 7816-4, 7.6.1).
const insGetResponse = 0xC0

// classGSM is the class of SIM commands before the UICC.
const classGSM = 0xA0

// Exchange sends a command and collects the whole answer: it follows 61xx (and 9Fxx)
// with GET RESPONSE and repeats a command that was answered 6Cxx with the right Le. Data that comes together
// with 61xx is kept. The error is nil when the transport worked, whatever the card said:
// see [Response.SW].
func Exchange(ctx context.Context, t Transmitter, c Command) (Response, error) {
	r, err := once(ctx, t, c)
	if err != nil {
		return Response{}, err
	}
	if r.SW>>8 == 0x6C && len(c.Data) == 0 {
		c.Le = expected(byte(r.SW))
		if r, err = once(ctx, t, c); err != nil {
			return Response{}, err
		}
	}
	data, class := r.Data, getResponseClass(c.CLA)
	for round := 0; r.SW>>8 == 0x61 || r.SW>>8 == 0x9F; round++ {
		if round == maxRounds {
			return Response{}, fmt.Errorf("apdu: the card still has data after %d GET RESPONSE commands", maxRounds)
		}
		next := Command{CLA: class, INS: insGetResponse, Le: expected(byte(r.SW))}
		if r, err = once(ctx, t, next); err != nil {
			return Response{}, err
		}
		if (r.SW == ClassNot || r.SW == InstructionNot) && class&proprietary == 0 && c.CLA&proprietary != 0 {
			// Some cards take it only in the class of the command.
			class |= proprietary
			next.CLA = class
			if r, err = once(ctx, t, next); err != nil {
				return Response{}, err
			}
		}
		if r.SW>>8 == 0x6C {
			next.Le = expected(byte(r.SW))
			if r, err = once(ctx, t, next); err != nil {
				return Response{}, err
			}
		}
		data = append(data[:len(data):len(data)], r.Data...)
	}
	return Response{Data: data, SW: r.SW}, nil
}

// Do is [Exchange] for callers to whom anything but success is an error.
func Do(ctx context.Context, t Transmitter, c Command) ([]byte, error) {
	r, err := Exchange(ctx, t, c)
	if err != nil {
		return nil, err
	}
	return r.Data, r.SW.Err()
}

// getResponseClass is the class of GET RESPONSE after a command of class cla: the
// interindustry class of the same channel, without secure messaging, since GET RESPONSE
// carries no MAC. The old class A0 (9Fxx, ETSI TS 151 011, 9.1) has no other.
func getResponseClass(cla byte) byte {
	if cla == classGSM {
		return classGSM
	}
	return OnChannel(0x00, ChannelOf(cla))
}

func once(ctx context.Context, t Transmitter, c Command) (Response, error) {
	b, err := c.Bytes()
	if err != nil {
		return Response{}, err
	}
	answer, err := t.Transmit(ctx, b)
	if err != nil {
		return Response{}, err
	}
	return ParseResponse(answer)
}
